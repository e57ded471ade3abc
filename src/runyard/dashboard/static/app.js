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

// A choice is a decision: it is shown at once.
for (const field of document.querySelectorAll(".filters select, .filters [type=checkbox]")) {
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

// A part of a page that stays as the cluster is: whatever changes there, the part is fetched anew.
const live = document.querySelector("[data-live]");
if (live) {
  const heard = new EventSource(live.dataset.live);
  let shown;
  heard.addEventListener("changed", async ({ data }) => {
    const before = shown;
    shown = data;
    if (before === undefined || document.getSelection().type === "Range") return;
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("live").replaceChildren(...page.getElementById("live").childNodes);
  });
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// What could not be shown is asked for again, as long as somebody looks.
if (document.querySelector("[data-retry]")) {
  await wait(2000);
  while (document.hidden) await wait(1000);
  location.reload();
}

const charts = document.querySelectorAll("figure[data-src]");
if (charts.length) {
  const { draw } = await import("./charts.js");
  const seen = new IntersectionObserver(
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

// MLflow may go while a page is open: it is said within two seconds, and so is its return.
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
document.addEventListener("visibilitychange", () => document.hidden || look());
for (;;) {
  await wait(document.hidden ? 5000 : 15000);
  if (!document.hidden) await look();
}
