// Labels chips by keys. No library does just this; all state is the array below, kept in the browser until it is exported.
const facts = JSON.parse(document.getElementById("chips").textContent), sheet = document.getElementById("sheet");
const labels = facts.chips.map(chip => chip.label), key = "chips " + facts.chips.map(chip => chip.digest).join("").slice(0, 2000);
try { const kept = JSON.parse(localStorage.getItem(key)); if (kept && kept.length === labels.length) kept.forEach((one, at) => labels[at] = one); } catch {}
const colours = ["#0b5394", "#b45309", "#047857", "#6d28d9", "#be123c", "#0e7490", "#4d7c0f", "#a21caf", "#57534e"];
const style = document.createElement("style");
style.textContent = `#bar { position: sticky; top: 0; background: #fcfcfb; padding: .4rem 0; z-index: 1; } #bar button { font: inherit; padding: .2rem .8rem; }
#grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 6px; }
#grid button { border: 4px solid #d8d8d4; background: #fff; padding: 2px; font: 12px system-ui; overflow-wrap: anywhere; color: #1c2126; }
#grid button:focus { outline: 3px solid #1c2126; } #grid img { width: 96px; height: 96px; image-rendering: pixelated; border: 0; }`;
const bar = document.createElement("p"), grid = document.createElement("div"), said = document.createElement("span"), save = document.createElement("button");
bar.id = "bar"; grid.id = "grid"; save.textContent = "Export labels.csv"; save.id = "export"; said.setAttribute("aria-live", "polite");
bar.append(save, " ", said); sheet.append(style, bar, grid);
const buttons = facts.chips.map((chip, at) => {
  const button = document.createElement("button"), picture = document.createElement("img"), text = document.createElement("div");
  picture.src = chip.picture; picture.alt = chip.name; picture.loading = "lazy"; button.title = chip.name;
  button.append(picture, text); button.onclick = () => button.focus(); grid.append(button); return button;
});
function show(at) {
  const label = labels[at], name = label < 0 ? "" : facts.classes[label], guess = facts.chips[at].guess;
  buttons[at].style.borderColor = label < 0 ? "" : colours[label];
  buttons[at].lastChild.textContent = (name || "–") + (guess ? ` (${guess}?)` : "");
}
let forgets = false;
function keep() {
  const text = JSON.stringify(labels);
  try { localStorage.setItem(key, text); forgets = localStorage.getItem(key) !== text; } catch { forgets = true; }
}
function count() {
  const each = facts.classes.map((name, number) => `${name} ${labels.filter(one => one === number).length}`);
  said.textContent = `${labels.filter(one => one >= 0).length} of ${labels.length} labelled: ${each.join(", ")}` + (forgets ? ". This browser keeps nothing: export before you close the page" : "");
}
function step(at, by) { const to = buttons[at + by]; if (to) { to.focus(); to.scrollIntoView({ block: "nearest" }); } }
grid.onkeydown = event => {
  const at = buttons.indexOf(document.activeElement), digit = "0123456789".indexOf(event.key);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (move) { step(at, move); event.preventDefault(); }
  if (digit < 0 || digit > facts.classes.length || event.key === "") return;
  labels[at] = digit - 1; show(at); keep(); count(); step(at, 1); event.preventDefault();
};
function table() {
  const quoted = text => '"' + String(text).replaceAll('"', '""') + '"';
  const rows = facts.chips.map((chip, at) => [chip.name, labels[at] < 0 ? "" : facts.classes[labels[at]], chip.digest].map(quoted).join(","));
  return [facts.columns.join(","), ...rows].join("\n") + "\n";
}
save.onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" })); link.download = facts.file; link.click();
};
buttons.forEach((_, at) => show(at)); count(); if (buttons.length) buttons[0].focus({ preventScroll: true });
