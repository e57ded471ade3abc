// What a page does beyond what it says by itself: charts, forms that leave out what is empty, and trying again.
const base = document.body.dataset.base;

// On a phone there is no room for the names of all pages: that of this one is to be seen.
document.querySelector(".bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Addresses are kept and shared: what is empty or as always is no part of them.
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  });
}
window.addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form [name]:disabled")) field.disabled = false;
});

// A tick is a decision, shown at once. What is selected is not: with the keyboard one comes to it by way of others.
for (const field of document.querySelectorAll(".filters [type=checkbox]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// A button that needs several of what can be chosen says so by being there only then.
for (const button of document.querySelectorAll("button[data-needs]")) {
  const boxes = [...button.form.querySelectorAll("[type=checkbox]")];
  const count = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    button.disabled = chosen < Number(button.dataset.needs);
    button.textContent = chosen ? `Compare ${chosen} chosen` : "Compare chosen";
  };
  boxes.forEach((box) => box.addEventListener("change", count));
  window.addEventListener("pageshow", count);
}

// Charts are drawn when they come into view.
let seen;
async function watch(charts) {
  if (!charts.length) return;
  const { draw } = await import("./charts.js");
  seen ??= new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "300px" },
  );
  charts.forEach((chart) => seen.observe(chart));
}

// A page that stays as the cluster is: a part that is another one by now is replaced, and nothing else. What a person
// has marked, or looks at further up in a log, waits until they are done with it.
const live = document.querySelector("[data-live]");
if (live) {
  const parts = [...live.querySelectorAll("[data-part]")];
  const served = new Map(parts.map((part) => [part.id, part.innerHTML]));
  let shown = live.dataset.version;
  let isHeld = false;

  const isLog = (part) => part.matches(".log");
  const isAtEnd = (part) => part.scrollHeight - part.scrollTop - part.clientHeight < 8;
  const toEnd = (part) => (part.scrollTop = part.scrollHeight);
  const isMarked = (part) => {
    const marked = document.getSelection();
    return marked.type === "Range" && marked.containsNode(part, true);
  };

  const replace = (part, now) => {
    const places = () => [...part.querySelectorAll("a, button, [tabindex]")];
    const focused = places().indexOf(document.activeElement);
    const scrolled = places().map((place) => place.scrollLeft);
    served.set(part.id, now.innerHTML);
    part.replaceChildren(...now.childNodes);
    places().forEach((place, index) => (place.scrollLeft = scrolled[index] ?? 0));
    if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
    if (isLog(part)) toEnd(part);
  };

  const redraw = (part, now) => {
    const wanted = [...now.children];
    const there = new Map([...part.children].map((figure) => [figure.dataset.src, figure]));
    const kept = wanted.map((figure) => there.get(figure.dataset.src) ?? figure);
    for (const figure of there.values()) if (!kept.includes(figure)) figure.remove();
    for (const figure of kept) {
      if (figure.parentNode === part) figure.dispatchEvent(new Event("renew"));
      else part.append(figure);
    }
    watch(kept.filter((figure) => wanted.includes(figure)));
  };

  const lay = async () => {
    const answer = await fetch(location.href).catch(() => undefined);
    // It was deleted: that is said as whoever opens it now is told.
    if (answer?.status === 404) location.reload();
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    isHeld = false;
    for (const part of parts) {
      const now = page.getElementById(part.id);
      if (part.dataset.part === "figures") redraw(part, now);
      else if (served.get(part.id) !== now.innerHTML) {
        if (isMarked(part) || (isLog(part) && !isAtEnd(part))) isHeld = true;
        else replace(part, now);
      }
    }
    shown = page.querySelector("[data-live]").dataset.version;
  };
  // One after the other: what was asked for first must not come last.
  let laid = Promise.resolve();
  const renew = () => (laid = laid.then(lay));

  parts.filter(isLog).forEach((log) => {
    toEnd(log);
    log.addEventListener("scroll", () => isHeld && isAtEnd(log) && renew());
  });
  document.addEventListener("selectionchange", () => isHeld && document.getSelection().type !== "Range" && renew());
  const listen = () => {
    const stream = new EventSource(live.dataset.live);
    stream.addEventListener("changed", ({ data }) => data !== shown && renew());
    // What is lost a browser asks for again by itself, but not what is refused.
    stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && setTimeout(listen, 5000));
  };
  listen();
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// What could not be shown is asked for again, as long as somebody looks.
if (document.querySelector("[data-retry]")) {
  await wait(2000);
  while (document.hidden) await wait(1000);
  location.reload();
}

await watch(document.querySelectorAll("figure[data-src]"));

// MLflow may go while a page is open: it is said within two seconds, and so is its return. The dashboard finds it out
// for all who look, and is asked each second.
const notice = document.getElementById("state");
async function look() {
  let problem;
  try {
    const answer = await fetch(`${base}/api/v1/state`);
    const found = await answer.json();
    problem = answer.ok ? found.problem : found.detail;
  } catch {
    problem = "The dashboard does not answer.";
  }
  notice.hidden = !problem;
  if (problem && !notice.textContent.startsWith(problem)) notice.textContent = `${problem} What is shown may be old.`;
}
while (notice) {
  await wait(1000);
  if (!document.hidden) await look();
}
