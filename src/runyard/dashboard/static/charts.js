// Draws figures: each is a table with the names of the columns that go across, up and apart. It shows nothing else.
import * as echarts from "./vendor/echarts.js";

const NONE = "–";
// Lines across are otherwise drawn where two decimals are: of probabilities and small targets, somewhere else.
const EXACT = -1;
const MARGIN = { left: 8, right: 16, top: 34, bottom: 30, containLabel: true };

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = () => [1, 2, 3, 4, 5, 6, 7, 8].map((number) => style(`--s-${number}`));

export function number(value) {
  if (typeof value !== "number") return value ?? "";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toFixed(4))) : value.toExponential(3);
}

// Fetches a figure, draws it, and puts its table beside it.
export async function draw(figure) {
  const canvas = figure.querySelector(".canvas");
  let found = await read(figure.dataset.src, (words, again) => tell(canvas, words, again));
  if (!found) return;
  figure.querySelector(".says").textContent = found.says;
  if (found.empty) {
    tell(canvas, found.empty);
    figure.querySelector(".tools").hidden = true;
    return;
  }
  const details = figure.querySelector("details");
  const list = () => table(details.querySelector(".scroll"), found);
  details.addEventListener("toggle", () => details.open && list());
  const show = paint(figure, canvas, found);
  figure.dataset.drawn = "true";
  // Of what goes on there is more by now.
  figure.addEventListener("renew", async () => {
    const newer = await read(figure.dataset.src, () => {});
    if (!newer || newer.empty || JSON.stringify(newer.rows) === JSON.stringify(found.rows)) return;
    found = newer;
    show(found);
    if (details.open) list();
  });
}

// Before a figure is asked for again: of what takes long, a part has been read by then. Who still wants it says so.
const PAUSES = [500, 1000, 2000, 4000, 8000];

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// Asks until there is an answer or a refusal, six times at most. Says what is wrong meanwhile, and when it is given up,
// with what asks once more: who says it may offer that.
async function read(source, say) {
  for (let asked = 0; ; asked += 1) {
    const { found, refusal, trouble } = await ask(source);
    if (found) return found;
    if (refusal) {
      say(refusal);
      return undefined;
    }
    if (asked === PAUSES.length) return new Promise((done) => say(trouble, () => done(read(source, say))));
    say(trouble);
    await pause(PAUSES[asked]);
  }
}

async function ask(source) {
  let answer;
  try {
    answer = await fetch(source);
  } catch {
    return { trouble: "The dashboard does not answer." };
  }
  // Whoever stands before the dashboard may answer for it, and in no JSON.
  const found = await answer.json().catch(() => undefined);
  if (answer.ok && found) return { found };
  if (answer.status >= 400 && answer.status < 500 && found?.detail) return { refusal: found.detail };
  return { trouble: found?.detail ?? `The figure did not come (HTTP ${answer.status}).` };
}

function tell(canvas, words, again) {
  const said = document.createElement("p");
  said.className = "quiet";
  words.split("`").forEach((part, place) => {
    const isCode = place % 2 === 1;
    const piece = document.createElement(isCode ? "code" : "span");
    piece.textContent = part;
    said.append(piece);
  });
  canvas.replaceChildren(said);
  if (!again) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tool";
  button.textContent = "Try again";
  button.addEventListener("click", () => {
    tell(canvas, "…");
    again();
  });
  said.append(button);
}

// Reads a figure of counts: for each run what is across, and a line for what is true, of cells with counts and shares.
function matrices(found) {
  const at = (row, name) => row[found.columns.findIndex((column) => column.name === name)];
  return [...groups({ found, at })].map(([name, rows]) => {
    const across = [...new Set(rows.map((row) => at(row, found.x)))];
    const cells = new Map(rows.map((row) => [`${JSON.stringify([at(row, found.y), at(row, found.x)])}`, row]));
    const lines = [...new Set(rows.map((row) => at(row, found.y)))].map((truth) => ({
      truth,
      cells: across.map((predicted) => {
        const row = cells.get(JSON.stringify([truth, predicted]));
        return row ? { count: number(at(row, "count")), share: at(row, found.colour) } : { count: "", share: 0 };
      }),
    }));
    return { run: at(rows[0], "run"), name, across, lines };
  });
}

const CORNER = "true ↓ predicted →";
const percent = (share) => `${Math.round(share * 100)} %`;
const heat = (share) => Math.min(5, Math.round(share * 5));

// Numbers with words beside them are a table, which needs no canvas.
function lay(canvas, found) {
  const place = document.createElement("div");
  place.className = "matrices";
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", found.title);
  for (const { run, name, across, lines } of matrices(found)) {
    const drawn = document.createElement("table");
    drawn.createCaption().append(leading(run, name));
    const head = drawn.createTHead().insertRow();
    for (const title of [CORNER, ...across]) heading(head, "col", title);
    const body = drawn.createTBody();
    for (const { truth, cells } of lines) {
      const line = body.insertRow();
      heading(line, "row", truth);
      for (const { count, share } of cells) {
        const cell = line.insertCell();
        cell.className = `heat-${heat(share)}`;
        cell.textContent = count;
        const small = document.createElement("small");
        small.textContent = percent(share);
        cell.append(small);
      }
    }
    place.append(drawn);
  }
  canvas.replaceChildren(place);
}

const BESIDE = 3;
const MOST_PIXELS = 4e7;

// Draws the same tables as a picture: a browser makes none of a table. Returns its address.
function pictured(found) {
  const pen = document.createElement("canvas").getContext("2d");
  const font = (size, weight = 400) => (pen.font = `${weight} ${size}px ${style("--font")}`);
  font(13);
  const wide = (words) => pen.measureText(words).width + 20;
  const [rowHeight, headHeight, gap] = [40, 52, 28];
  const blocks = matrices(found).map((block) => {
    const first = Math.max(wide(CORNER), ...block.lines.map(({ truth }) => wide(short(truth))));
    const each = Math.max(56, ...block.across.map((name) => wide(short(name))));
    return { ...block, first, each, width: Math.max(first + each * block.across.length, wide(short(block.name, 40))), height: headHeight + rowHeight * block.lines.length };
  });
  let [width, height] = [0, gap];
  for (let row = 0; row < blocks.length; row += BESIDE) {
    const beside = blocks.slice(row, row + BESIDE);
    let left = gap;
    for (const block of beside) {
      [block.left, block.top] = [left, height];
      left += block.width + gap;
    }
    width = Math.max(width, left);
    height += Math.max(...beside.map((block) => block.height)) + gap;
  }
  const ratio = Math.min(2, Math.sqrt(MOST_PIXELS / (width * height)));
  pen.canvas.width = Math.ceil(width * ratio);
  pen.canvas.height = Math.ceil(height * ratio);
  pen.scale(ratio, ratio);
  pen.fillStyle = style("--card");
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  const write = (words, x, y, colour = "--ink") => {
    pen.fillStyle = style(colour);
    pen.fillText(words, x, y);
  };
  for (const { name, across, lines, first, each, left, top } of blocks) {
    font(14, 600);
    pen.textAlign = "left";
    write(short(name, 40), left, top + 10);
    pen.textAlign = "center";
    font(12);
    [CORNER, ...across].forEach((title, place) => write(short(title), left + (place ? first + each * (place - 0.5) : first / 2), top + 36, "--quiet"));
    lines.forEach(({ truth, cells }, row) => {
      const y = top + headHeight + rowHeight * row;
      font(13);
      write(short(truth), left + first / 2, y + rowHeight / 2);
      cells.forEach(({ count, share }, place) => {
        const x = left + first + each * place;
        pen.globalAlpha = 0.08 * heat(share);
        pen.fillStyle = style("--accent");
        pen.fillRect(x, y, each, rowHeight);
        pen.globalAlpha = 1;
        font(13);
        write(count, x + each / 2, y + 14);
        font(11);
        write(percent(share), x + each / 2, y + 30);
      });
      pen.fillStyle = style("--line");
      pen.fillRect(left, y, first + each * across.length, 1);
    });
  }
  return pen.canvas.toDataURL("image/png");
}

// Whoever presses the button gets the picture of what is shown by then.
function saving(figure, name, picture) {
  const button = figure.querySelector("button.tool");
  button.disabled = false;
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = picture();
    link.download = `${name}.png`;
    link.click();
  });
}

function heading(line, scope, title) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = title;
  line.append(cell);
  return cell;
}

// Returns what shows newer values in its place.
function paint(figure, canvas, found) {
  if (found.kind === "matrix") {
    let shown = found;
    saving(figure, found.name, () => pictured(shown));
    const show = (newer) => lay(canvas, (shown = newer));
    show(found);
    return show;
  }
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
    if (row && place >= 0) location.assign(leading(row[place]).href);
  });
  saving(figure, found.name, () => chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: style("--card") }));
  return (newer) => {
    found = newer;
    canvas.setAttribute("aria-label", `${found.title}. ${found.says}`);
    figure.querySelector(".says").textContent = found.says;
    show();
  };
}

const ROWS = 500;

// Whatever a point leads to, the table does too, for who has no mouse: by its row where each is a run, else above it.
function table(place, found) {
  const run = found.columns.findIndex((column) => column.name === "run");
  const kept = found.columns.map((_, index) => index).filter((index) => index !== run);
  const namesOf = new Map();
  if (run >= 0) for (const row of found.rows) namesOf.set(row[run], (namesOf.get(row[run]) ?? new Set()).add(String(row[kept[0]])));
  const isOne = namesOf.size === found.rows.length;
  const drawn = document.createElement("table");
  const head = drawn.createTHead().insertRow();
  for (const index of kept) heading(head, "col", found.columns[index].title).className = isNumber(found.rows[0]?.[index]) ? "n" : "";
  const body = drawn.createTBody();
  const more = document.createElement("button");
  more.type = "button";
  const count = document.createElement("p");
  count.className = "count";
  const add = () => {
    const from = body.rows.length;
    for (const row of found.rows.slice(from, from + ROWS)) {
      const line = body.insertRow();
      for (const index of kept) {
        const value = row[index];
        if (isOne && index === kept[0]) {
          heading(line, "row", "").append(leading(row[run], number(value)));
          continue;
        }
        const cell = line.insertCell();
        cell.textContent = number(value);
        if (typeof value === "number") {
          cell.className = "n";
          cell.title = String(value);
        }
      }
    }
    const left = found.rows.length - body.rows.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(ROWS, left)} more of ${found.rows.length} rows`;
    count.textContent = `${body.rows.length} of ${found.rows.length + found.leftOut} rows: ${left ? "the first of those" : "those"} that are drawn. The CSV has all.`;
  };
  more.addEventListener("click", add);
  add();
  place.replaceChildren(...(namesOf.size && !isOne ? [runs(namesOf)] : []), ...(found.leftOut ? [count] : []), drawn, more);
}

function leading(run, name = "") {
  const link = document.createElement("a");
  link.href = `${document.body.dataset.base}/runs/${run}`;
  link.textContent = name;
  return link;
}

// The runs of rows of which several are of one run.
function runs(namesOf) {
  const list = document.createElement("ul");
  list.className = "runs-of";
  list.setAttribute("aria-label", "Runs");
  for (const [run, names] of namesOf) {
    const entry = document.createElement("li");
    entry.append(leading(run, shared([...names]) || run.slice(0, 8)));
    list.append(entry);
  }
  return list;
}

// What rows of one run are all called, before what tells them apart: "forest, class 1" and "forest, class 2" are of "forest".
function shared([first, ...others]) {
  if (!others.length) return first;
  let length = 0;
  while (length < first.length && others.every((name) => name[length] === first[length])) length += 1;
  const end = Math.max(first.lastIndexOf(", ", length - 1), first.lastIndexOf(": ", length - 1));
  return end > 0 ? first.slice(0, end) : "";
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
    axisLine: { onZero: false, lineStyle: { color: style("--line-strong") } },
    axisLabel: { color: style("--quiet"), fontSize: 11, hideOverlap: true, formatter: number },
    splitLine: { lineStyle: { color: style("--line") } },
    ...more,
  };
}

const across = (name, more) => axis(name, { nameGap: 26, ...more });
const up = (name, more) => axis(name, { nameLocation: "end", nameGap: 12, nameTextStyle: { color: style("--quiet"), fontSize: 12, align: "left" }, ...more });

const WITH_LEGEND = { ...MARGIN, top: 58 };

function legend(names) {
  return { type: "scroll", top: 0, left: 0, right: 0, align: "left", itemGap: 14, textStyle: { color: style("--ink"), fontSize: 12, lineHeight: 18 }, pageTextStyle: { color: style("--quiet") }, pageIconColor: style("--accent"), pageIconInactiveColor: style("--line"), icon: "roundRect", itemWidth: 12, itemHeight: 8, padding: 4, formatter: (name) => inside(name), data: names };
}

const legendOf = (apart, more) => (apart.size > 1 ? { legend: { ...legend([...apart.keys()]), ...more }, grid: WITH_LEGEND } : {});

const short = (text, most = 26) => (String(text).length > most ? `${String(text).slice(0, most - 1)}…` : String(text));

// Names of runs of one sweep begin alike and differ at their end: what is left out is in the middle.
function inside(text, most = 26) {
  const whole = String(text);
  const kept = most - 1;
  return whole.length > most ? `${whole.slice(0, Math.ceil(kept / 2))}…${whole.slice(-Math.floor(kept / 2))}` : whole;
}

// There are eight colours: after them lines are of another type, and bars are hatched.
const lineType = (place) => ["solid", "dashed", "dotted"][Math.floor(place / 8) % 3];
const hatched = (place) => (place < 8 ? undefined : { symbol: "rect", symbolSize: 1, dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: Math.PI / 4 });

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
    const limits = (ends) => (ends ? { min: ends[0], max: ends[1], scale: false, minInterval: ends[1] - ends[0] > 1 ? 1 : undefined } : {});
    const apart = groups(scene);
    const series = [...apart].map(([name, rows], place) => ({
      type: "line",
      name,
      showSymbol: rows.length < 3,
      symbolSize: 6,
      lineStyle: { width: 2, type: lineType(place) },
      emphasis: { focus: "series" },
      data: rows.map((row) => ({ value: [at(row, found.x), at(row, found.y)], row })),
    }));
    if (found.diagonal) {
      series.push({ type: "line", silent: true, symbol: "none", data: [[0, 0], [1, 1]], lineStyle: { color: style("--line-strong"), type: "dashed", width: 1 }, tooltip: { show: false }, name: "" });
    }
    if (found.mark) series.push(...marked(scene, apart), verticals(scene));
    return {
      // Without an icon a legend shows the line as it is drawn.
      ...legendOf(apart, apart.size > 8 ? { icon: undefined, itemWidth: 26 } : {}),
      tooltip: { ...frame().tooltip, trigger: "item", formatter: rowInWords(found) },
      xAxis: across(title(found.x), limits(found.xLimits)),
      // Above the lines are the names of places: the figure's title has that of the axis.
      yAxis: up(found.mark ? "" : title(found.y), limits(found.yLimits)),
      series,
    };
  },

  scatter(scene) {
    const { found, at, title } = scene;
    const point = (row) => ({ value: [at(row, found.x), at(row, found.y)], row });
    const marked = found.mark ? found.rows.filter((row) => at(row, found.mark) === 1) : [];
    const hue = found.colour ? scale(found, at) : undefined;
    const isPlain = (row) => !hue || isNumber(at(row, found.colour));
    const others = found.rows.filter((row) => !marked.includes(row) && isPlain(row));
    const colourless = found.rows.filter((row) => !isPlain(row));
    const values = found.rows.map((row) => at(row, found.x)).filter(isNumber);
    const middle = (Math.min(...values) + Math.max(...values)) / 2;
    const isRight = (row) => at(row, found.x) > middle;
    const front = [...marked].sort((one, other) => at(one, found.x) - at(other, found.x));
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      visualMap: hue,
      xAxis: across(title(found.x)),
      yAxis: up(title(found.y)),
      grid: hue ? { ...MARGIN, right: 70 } : MARGIN,
      series: [
        { type: "scatter", symbolSize: found.rows.length > 300 ? 5 : 9, itemStyle: { opacity: 0.75, color: found.mark ? style("--s-8") : undefined }, data: others.map((row) => ({ ...point(row), value: hue ? [at(row, found.x), at(row, found.y), at(row, found.colour)] : [at(row, found.x), at(row, found.y)] })) },
        ...grey(colourless.map(point), found.rows.length > 300 ? 5 : 9),
        ...(marked.length
          ? [
              { type: "line", silent: true, symbol: "none", data: front.map((row) => [at(row, found.x), at(row, found.y)]), lineStyle: { color: style("--accent"), width: 1, type: "dashed" } },
              { type: "scatter", symbolSize: 12, itemStyle: { color: style("--accent") }, label: { show: marked.length < 9, color: style("--ink"), fontSize: 11, formatter: ({ data }) => short(at(data.row, "name"), 18) }, labelLayout: { hideOverlap: true }, data: marked.map((row) => ({ ...point(row), label: { position: isRight(row) ? "left" : "right" } })) },
            ]
          : []),
      ],
    };
  },

  parallel({ found, at, width }) {
    const every = found.columns.filter((column) => !["run", "name", "best"].includes(column.name));
    // A phone has room for some: those that vary first, and what decides last.
    const most = Math.max(3, Math.floor(width / 85));
    const axes = every.length > most ? [...every.slice(0, most - 2), ...every.slice(-2)] : every;
    const dimensions = axes.map((column, dim) => {
      const all = found.rows.map((row) => at(row, column.name));
      // A run that has no such parameter must not be drawn as if it had some value between others'.
      const isText = all.some((value) => typeof value !== "number");
      const values = all.map((value) => value ?? NONE);
      const texts = isText ? [...new Set(values.map(String))].sort((one, other) => one.localeCompare(other, undefined, { numeric: true })) : undefined;
      return {
        dim,
        name: short(column.title, width < 600 ? 10 : 20),
        nameTextStyle: { color: style("--ink"), fontSize: 11, fontWeight: found.y === column.name ? "bold" : "normal" },
        axisLine: { lineStyle: { color: style("--line-strong") } },
        axisLabel: { color: style("--quiet"), fontSize: 10, hideOverlap: true, textBorderColor: style("--card"), textBorderWidth: 3, formatter: (value) => short(isText && value !== NONE && !Number.isNaN(Number(value)) ? number(Number(value)) : number(value), 12) },
        scale: true,
        ...(isText ? { type: "category", data: texts } : { type: "value" }),
      };
    });
    const line = (row) => ({ value: axes.map((column, dim) => (dimensions[dim].type === "category" ? String(at(row, column.name) ?? NONE) : at(row, column.name))), row });
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
    // What is measured in another way has an axis of its own, below the first.
    const panels = found.panels ? [...new Set(found.rows.map((row) => at(row, found.panels)))] : [undefined];
    const rowsOf = (panel) => found.rows.filter((row) => panel === undefined || at(row, found.panels) === panel);
    const namesOf = (panel) => [...new Set(rowsOf(panel).map((row) => String(at(row, found.y))))].reverse();
    const top = apart.size > 1 ? 12 : 2;
    const each = (100 - top) / panels.length;
    const colours = palette();
    return {
      ...legendOf(apart),
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      ...(panels.length > 1 ? { grid: panels.map((_, place) => ({ ...MARGIN, top: `${top + place * each}%`, bottom: `${100 - top - (place + 1) * each + 10}%` })) } : {}),
      xAxis: panels.map((panel, gridIndex) => across(short(panel ?? title(found.x), 60), { scale: false, gridIndex })),
      yAxis: panels.map((panel, gridIndex) => ({ ...axis(""), gridIndex, type: "category", data: namesOf(panel), axisTick: { show: false }, axisLabel: { color: style("--ink"), fontSize: 11, formatter: (name) => short(name, 24) } })),
      series: [...apart].flatMap(([name, rows], place) =>
        panels
          .map((panel, index) => ({
            type: "bar",
            name,
            xAxisIndex: index,
            yAxisIndex: index,
            itemStyle: { decal: hatched(place), color: colours[place % colours.length] },
            barMaxWidth: 18,
            barGap: "10%",
            data: rows.filter((row) => panel === undefined || at(row, found.panels) === panel).map((row) => ({ value: [at(row, found.x), String(at(row, found.y))], row })),
          }))
          .filter(({ data }) => data.length),
      ),
    };
  },

  intervals({ found, at, title }) {
    const names = found.rows.map((row) => String(at(row, found.y))).reverse();
    const isMarked = (each) => Boolean(found.mark) && at(each, found.mark) === 1;
    const row = (each) => ({ value: [at(each, found.x), names.length - 1 - found.rows.indexOf(each)], row: each, itemStyle: { color: isMarked(each) ? style("--accent") : style("--s-8") }, label: { show: isMarked(each), position: "top", distance: 8, color: style("--ink"), fontSize: 11, formatter: title(found.mark) } });
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

Object.assign(KINDS, {
  swarm({ found, at, title }) {
    const names = [...new Set(found.rows.map((row) => at(row, found.y)))];
    const values = found.rows.map((row) => at(row, found.x)).filter(isNumber);
    const low = Math.min(...values);
    const width = Math.max(...values) - low || 1;
    // Points that would hide each other stand beside each other: alternately above and below, as many as there are.
    const counts = new Map();
    const data = found.rows.map((row) => {
      const place = names.indexOf(at(row, found.y));
      const bin = `${place} ${Math.round(((at(row, found.x) - low) / width) * 90)}`;
      const count = counts.get(bin) ?? 0;
      counts.set(bin, count + 1);
      const aside = Math.ceil(count / 2) * (count % 2 ? 1 : -1) * 0.055;
      return { value: [at(row, found.x), place + Math.max(-0.42, Math.min(0.42, aside)), at(row, found.colour)], row };
    });
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      visualMap: { ...scale(found, at), min: 0, max: 1 },
      grid: { ...MARGIN, top: 10, right: 64 },
      xAxis: across(title(found.x), { axisLine: { show: false } }),
      yAxis: { ...axis(""), inverse: true, min: -0.6, max: names.length - 0.4, interval: 1, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { color: style("--ink"), fontSize: 11, customValues: names.map((_, place) => place), formatter: (place) => short(names[Math.round(place)] ?? "", 24) } },
      series: [
        { type: "scatter", symbolSize: 5, itemStyle: { opacity: 0.8 }, data: data.filter(({ value }) => isNumber(value[2])), markLine: zero() },
        ...grey(data.filter(({ value }) => !isNumber(value[2])).map(({ value, row }) => ({ value: value.slice(0, 2), row })), 5),
      ],
    };
  },

  waterfall(scene) {
    const { found, at, title } = scene;
    const names = found.rows.map((row) => {
      const value = at(row, "value");
      return value === null ? at(row, found.y) : `${short(at(row, found.y), 20)} = ${number(value)}`;
    });
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      grid: { ...MARGIN, top: 10, right: 40 },
      xAxis: across(title(found.high), { scale: true }),
      yAxis: { ...axis(""), type: "category", inverse: true, data: names.map((name, place) => `${place} ${name}`), axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false }, axisLabel: { color: style("--ink"), fontSize: 11, formatter: (name) => short(name.replace(/^\d+ /, ""), 34) } },
      series: [pieces(scene, (row, place) => place)],
    };
  },

  force(scene) {
    const { found, at } = scene;
    const end = Math.max(...found.rows.map((row) => Math.max(at(row, found.low), at(row, found.high))));
    const last = found.rows.length ? at(found.rows[0], found.high) : end;
    // What raises comes from the left, what lowers from the right, the largest next to where both meet.
    const lane = (rows, sign) => {
      let edge = last;
      return rows.map((row) => {
        const from = edge;
        edge -= sign * Math.abs(at(row, found.x));
        return { row, from: edge, to: from };
      });
    };
    const parts = [
      ...lane(found.rows.filter((row) => at(row, found.x) > 0), 1),
      ...lane(found.rows.filter((row) => at(row, found.x) < 0), -1),
    ];
    return {
      tooltip: { ...frame().tooltip, formatter: rowInWords(found) },
      grid: { ...MARGIN, top: 28, bottom: 34 },
      xAxis: across("what the model says is where both meet"),
      yAxis: { ...axis(""), type: "category", data: [""], show: false },
      series: [
        {
          type: "custom",
          clip: true,
          data: parts.map(({ row, from, to }) => ({ value: [from, to, 0, at(row, found.x)], row, name: at(row, found.y) })),
          encode: { x: [0, 1], y: 2 },
          renderItem: (params, api) => block(params, api, parts[params.dataIndex].row[0], 46),
          markLine: { silent: true, symbol: "none", label: { formatter: number(last), color: style("--ink") }, lineStyle: { color: style("--ink"), type: "solid" }, precision: EXACT, data: [{ xAxis: last }] },
        },
      ],
    };
  },
});

const isNumber = (value) => typeof value === "number";

// What has no value to be coloured by is neither high nor low.
const grey = (data, symbolSize) => (data.length ? [{ type: "scatter", symbolSize, itemStyle: { opacity: 0.8, color: style("--s-8") }, data }] : []);

// A point on each line where something is marked.
function marked({ found, at }, apart) {
  const isMarked = (row) => at(row, found.mark) === 1 && isNumber(at(row, found.y));
  return [...apart].map(([name, rows], place) => ({ type: "scatter", name, symbolSize: 9, itemStyle: { color: palette()[place % 8] }, data: rows.filter(isMarked).map((row) => ({ value: [at(row, found.x), at(row, found.y)], row })) }));
}

// A line from below to the top where something is marked or chosen. Where there is one such place, it is named above.
function verticals({ found, at, title }) {
  const places = (column) => [...new Set(column ? found.rows.filter((row) => at(row, column) === 1).map((row) => at(row, found.x)) : [])];
  const chosen = places(found.chosen);
  const own = places(found.mark).filter((place) => !chosen.includes(place));
  const lines = (column, these, [other], colour, type) =>
    these.map((xAxis) => {
      const align = other === undefined ? "center" : other > xAxis ? "right" : "left";
      return { xAxis, lineStyle: { color: colour, type, width: 1.5 }, label: { show: these.length === 1, formatter: `${title(column)}: ${number(xAxis)}`, align, color: colour, fontSize: 11 } };
    });
  const data = [...lines(found.mark, own, chosen, style("--quiet"), "dashed"), ...lines(found.chosen, chosen, own, style("--accent"), "solid")];
  return { type: "line", name: "", data: [], markLine: { silent: true, symbol: "none", precision: EXACT, data } };
}

function zero() {
  return { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: style("--line-strong"), type: "solid", width: 1 }, precision: EXACT, data: [{ xAxis: 0 }] };
}

// Steps from one value to another: those that raise in the warm colour, those that lower in the cold one.
function pieces({ found, at }, placeOf) {
  return {
    type: "custom",
    data: found.rows.map((row, place) => ({ value: [at(row, found.low), at(row, found.high), placeOf(row, place), at(row, found.x)], row })),
    encode: { x: [0, 1], y: 2 },
    renderItem: (params, api) => block(params, api, signed(api.value(3)), 20),
  };
}

const signed = (value) => (value > 0 ? `+${number(value)}` : number(value));

function block(params, api, words, height) {
  const [left, y] = api.coord([api.value(0), api.value(2)]);
  const [right] = api.coord([api.value(1), api.value(2)]);
  const width = Math.max(Math.abs(right - left), 1);
  const colour = style(api.value(3) >= 0 ? "--hot" : "--cold");
  const fits = width > 7 * String(words).length;
  return {
    type: "group",
    children: [
      { type: "rect", shape: { x: Math.min(left, right), y: y - height / 2, width, height, r: 2 }, style: { fill: colour, stroke: style("--card"), lineWidth: 1 } },
      { type: "text", style: { text: fits || height < 30 ? short(words, 24) : "", x: fits ? (left + right) / 2 : Math.max(left, right) + 4, y, align: fits ? "center" : "left", verticalAlign: "middle", fontSize: 11, fontFamily: style("--font"), fill: fits ? style("--card") : style("--ink") } },
    ],
  };
}

function scale(found, at) {
  const values = found.rows.map((row) => at(row, found.colour)).filter(isNumber);
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
