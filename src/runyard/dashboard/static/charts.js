// Draws figures: each is a table with the names of the columns that go across, up and apart. It shows nothing else.
import * as echarts from "./vendor/echarts.js";

const MARGIN = { left: 8, right: 16, top: 34, bottom: 30, containLabel: true };

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = () => [1, 2, 3, 4, 5, 6, 7, 8].map((number) => style(`--s-${number}`));

export function number(value) {
  if (typeof value !== "number") return value ?? "";
  if (Number.isInteger(value) && Math.abs(value) < 1e5) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toFixed(4))) : value.toExponential(3);
}

// Fetches a figure, draws it, and puts its table beside it.
export async function draw(figure) {
  const canvas = figure.querySelector(".canvas");
  let found;
  try {
    const answer = await fetch(figure.dataset.src);
    found = await answer.json();
    if (!answer.ok) throw new Error(found.detail);
  } catch (error) {
    tell(canvas, error.message || "This could not be read.");
    return;
  }
  figure.querySelector(".says").textContent = found.says;
  if (found.empty) {
    tell(canvas, found.empty);
    figure.querySelector(".tools").hidden = true;
    return;
  }
  const details = figure.querySelector("details");
  details.addEventListener("toggle", () => table(details.querySelector(".scroll"), found), { once: true });
  paint(figure, canvas, found);
  figure.dataset.drawn = "true";
}

function tell(canvas, words) {
  const said = document.createElement("p");
  said.className = "quiet";
  said.textContent = words;
  canvas.replaceChildren(said);
}

function paint(figure, canvas, found) {
  canvas.replaceChildren();
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${found.title}. ${found.says}`);
  const chart = echarts.init(canvas, null, { renderer: "canvas" });
  const show = () => chart.setOption({ ...frame(), ...options(found, canvas.clientWidth) }, { notMerge: true });
  show();
  new ResizeObserver(() => {
    chart.resize();
    show();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  chart.on("click", (event) => {
    const row = event.data?.row;
    const place = found.columns.findIndex((column) => column.name === "run");
    if (row && place >= 0) location.assign(`${document.body.dataset.base}/runs/${row[place]}`);
  });
  const button = figure.querySelector("button");
  button.disabled = false;
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: style("--card") });
    link.download = `${found.name}.png`;
    link.click();
  });
}

function table(place, found) {
  const drawn = document.createElement("table");
  const head = drawn.createTHead().insertRow();
  for (const column of found.columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = column.title;
    head.append(cell);
  }
  const body = drawn.createTBody();
  const shown = found.rows.slice(0, 500);
  for (const row of shown) {
    const line = body.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      cell.textContent = number(value);
      if (typeof value === "number") {
        cell.className = "n";
        cell.title = String(value);
      }
    }
  }
  place.replaceChildren(drawn);
  if (found.rows.length > shown.length) {
    const more = document.createElement("p");
    more.className = "quiet";
    more.textContent = `The first ${shown.length} of ${found.rows.length} rows; the CSV has all.`;
    place.append(more);
  }
}

// What all charts share. Tooltips are drawn, not written as HTML: names may hold anything.
function frame() {
  return {
    animation: false,
    color: palette(),
    textStyle: { fontFamily: style("--font"), color: style("--ink") },
    tooltip: {
      renderMode: "richText",
      confine: true,
      backgroundColor: style("--card"),
      borderColor: style("--line-strong"),
      textStyle: { color: style("--ink"), fontSize: 12 },
    },
    grid: MARGIN,
  };
}

function axis(name, more = {}) {
  return {
    type: "value",
    name,
    nameLocation: "middle",
    nameGap: 30,
    scale: true,
    nameTextStyle: { color: style("--quiet"), fontSize: 12 },
    axisLine: { lineStyle: { color: style("--line-strong") } },
    axisLabel: { color: style("--quiet"), fontSize: 11, hideOverlap: true, formatter: number },
    splitLine: { lineStyle: { color: style("--line") } },
    ...more,
  };
}

const across = (name, more) => axis(name, { nameGap: 26, ...more });
const up = (name, more) => axis(name, { nameLocation: "end", nameGap: 12, nameTextStyle: { color: style("--quiet"), fontSize: 12, align: "left" }, ...more });

function legend(names) {
  return { type: "scroll", top: 0, right: 0, left: "40%", align: "left", textStyle: { color: style("--ink"), fontSize: 12 }, pageTextStyle: { color: style("--quiet") }, pageIconColor: style("--accent"), pageIconInactiveColor: style("--line"), icon: "roundRect", itemWidth: 12, itemHeight: 4, data: names };
}

const short = (text, most = 26) => (String(text).length > most ? `${String(text).slice(0, most - 1)}…` : String(text));

function options(found, width) {
  const place = Object.fromEntries(found.columns.map((column, index) => [column.name, index]));
  const title = (name) => found.columns[place[name]]?.title ?? "";
  const at = (row, name) => row[place[name]];
  return KINDS[found.kind]({ found, place, title, at, width });
}

function groups({ found, at }) {
  const kept = new Map();
  for (const row of found.rows) {
    const name = found.series ? String(at(row, found.series)) : "";
    if (!kept.has(name)) kept.set(name, []);
    kept.get(name).push(row);
  }
  return kept;
}

// Reads a row aloud, column for column.
const rowInWords = (found) => ({ data }) =>
  (data?.row ?? [])
    .map((value, index) => [found.columns[index], value])
    .filter(([column, value]) => column.name !== "run" && value !== null)
    .map(([column, value]) => `${short(column.title, 40)}  ${short(number(value), 60)}`)
    .join("\n");

const KINDS = {
  lines(scene) {
    const { found, at, title } = scene;
    const limits = found.unitSquare ? { min: 0, max: 1, scale: false } : {};
    const apart = groups(scene);
    const series = [...apart].map(([name, rows]) => ({
      type: "line",
      name: short(name),
      showSymbol: rows.length < 3,
      symbolSize: 6,
      lineStyle: { width: 2 },
      emphasis: { focus: "series" },
      data: rows.map((row) => ({ value: [at(row, found.x), at(row, found.y)], row })),
    }));
    if (found.diagonal) {
      series.push({ type: "line", silent: true, symbol: "none", data: [[0, 0], [1, 1]], lineStyle: { color: style("--line-strong"), type: "dashed", width: 1 }, tooltip: { show: false }, name: "" });
    }
    return {
      legend: apart.size > 1 ? legend([...apart.keys()].map((name) => short(name))) : undefined,
      tooltip: { ...frame().tooltip, trigger: "item", formatter: rowInWords(found) },
      xAxis: across(title(found.x), limits),
      yAxis: up(title(found.y), limits),
      series,
    };
  },

  scatter(scene) {
    const { found, at, title } = scene;
    const point = (row) => ({ value: [at(row, found.x), at(row, found.y)], row });
    const marked = found.mark ? found.rows.filter((row) => at(row, found.mark) === 1) : [];
    const others = found.rows.filter((row) => !marked.includes(row));
    const hue = found.colour ? scale(found, at) : undefined;
    const front = [...marked].sort((one, other) => at(one, found.x) - at(other, found.x));
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      visualMap: hue,
      xAxis: across(title(found.x)),
      yAxis: up(title(found.y)),
      grid: hue ? { ...MARGIN, right: 70 } : MARGIN,
      series: [
        { type: "scatter", symbolSize: found.rows.length > 300 ? 5 : 9, itemStyle: { opacity: 0.75, color: found.mark ? style("--s-8") : undefined }, data: others.map((row) => ({ ...point(row), value: hue ? [at(row, found.x), at(row, found.y), at(row, found.colour)] : [at(row, found.x), at(row, found.y)] })) },
        ...(marked.length
          ? [
              { type: "line", silent: true, symbol: "none", data: front.map((row) => [at(row, found.x), at(row, found.y)]), lineStyle: { color: style("--accent"), width: 1, type: "dashed" } },
              { type: "scatter", symbolSize: 12, itemStyle: { color: style("--accent") }, label: { show: marked.length < 9, position: "top", color: style("--ink"), fontSize: 11, formatter: ({ data }) => short(at(data.row, "name"), 18) }, labelLayout: { hideOverlap: true }, data: marked.map(point) },
            ]
          : []),
      ],
    };
  },

  parallel({ found, at, width }) {
    const axes = found.columns.filter((column) => !["run", "name", "best"].includes(column.name));
    const dimensions = axes.map((column, dim) => {
      const values = found.rows.map((row) => at(row, column.name)).filter((value) => value !== null);
      const isText = values.some((value) => typeof value === "string");
      const texts = isText ? [...new Set(values.map(String))].sort((one, other) => one.localeCompare(other, undefined, { numeric: true })) : undefined;
      return {
        dim,
        name: short(column.title, width < 600 ? 10 : 20),
        nameTextStyle: { color: style("--ink"), fontSize: 11, fontWeight: found.y === column.name ? "bold" : "normal" },
        axisLine: { lineStyle: { color: style("--line-strong") } },
        axisLabel: { color: style("--quiet"), fontSize: 10, hideOverlap: true, formatter: (value) => short(number(value), 12) },
        scale: true,
        ...(isText ? { type: "category", data: texts } : { type: "value" }),
      };
    });
    const line = (row) => ({ value: axes.map((column, dim) => (dimensions[dim].type === "category" ? String(at(row, column.name) ?? "") : at(row, column.name))), row });
    const best = found.rows.filter((row) => at(row, "best") === 1);
    return {
      parallelAxis: dimensions,
      parallel: { left: 40, right: 50, top: 40, bottom: 24, parallelAxisDefault: { realtime: true } },
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      series: [
        { type: "parallel", lineStyle: { width: 1.4, opacity: found.rows.length > 60 ? 0.35 : 0.6, color: style("--s-8") }, emphasis: { lineStyle: { width: 3, opacity: 1, color: style("--s-2") } }, data: found.rows.filter((row) => !best.includes(row)).map(line) },
        { type: "parallel", z: 5, lineStyle: { width: 3.5, opacity: 1, color: style("--accent") }, data: best.map(line) },
      ],
    };
  },

  bars(scene) {
    const { found, at, title } = scene;
    const apart = groups(scene);
    const names = [...new Set(found.rows.map((row) => String(at(row, found.y))))].reverse();
    return {
      legend: apart.size > 1 ? legend([...apart.keys()].map((name) => short(name))) : undefined,
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      xAxis: across(title(found.x), { scale: false }),
      yAxis: { ...axis(""), type: "category", data: names, axisTick: { show: false }, axisLabel: { color: style("--ink"), fontSize: 11, formatter: (name) => short(name, 24) } },
      series: [...apart].map(([name, rows]) => ({
        type: "bar",
        name: short(name),
        barMaxWidth: 18,
        barGap: "10%",
        data: rows.map((row) => ({ value: [at(row, found.x), String(at(row, found.y))], row })),
      })),
    };
  },

  intervals({ found, at, title }) {
    const names = found.rows.map((row) => String(at(row, found.y))).reverse();
    const row = (each) => ({ value: [at(each, found.x), names.length - 1 - found.rows.indexOf(each)], row: each, itemStyle: { color: found.mark && at(each, found.mark) === 1 ? style("--accent") : style("--s-8") } });
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      xAxis: across(title(found.x)),
      yAxis: { ...axis(""), type: "category", data: names, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { color: style("--ink"), fontSize: 11, formatter: (name) => short(name, 22) } },
      series: [
        {
          type: "custom",
          silent: true,
          encode: { x: [0, 1], y: 2 },
          data: found.rows.map((each) => [at(each, found.low), at(each, found.high), names.length - 1 - found.rows.indexOf(each)]),
          renderItem(_, api) {
            const [left, y] = api.coord([api.value(0), api.value(2)]);
            const [right] = api.coord([api.value(1), api.value(2)]);
            const line = { stroke: style("--line-strong"), lineWidth: 2 };
            return { type: "group", children: [[left, y, right, y], [left, y - 5, left, y + 5], [right, y - 5, right, y + 5]].map(([x1, y1, x2, y2]) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: line })) };
          },
        },
        { type: "scatter", symbolSize: 11, data: found.rows.map(row) },
      ],
    };
  },
};

function scale(found, at) {
  const values = found.rows.map((row) => at(row, found.colour)).filter((value) => typeof value === "number");
  return {
    type: "continuous",
    dimension: 2,
    min: Math.min(...values),
    max: Math.max(...values),
    seriesIndex: 0,
    right: 0,
    top: "middle",
    itemHeight: 140,
    itemWidth: 8,
    calculable: false,
    text: ["high", "low"],
    textStyle: { color: style("--quiet"), fontSize: 11 },
    inRange: { color: [style("--cold"), style("--hot")] },
    formatter: number,
  };
}
