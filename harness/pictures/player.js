"use strict";
const film = @film@;
const at = (selector) => document.querySelector(selector);
const slider = at("input"), button = at("button"), speed = at("select"), caption = at("output");
const count = film.steps.length, last = count - 1, end = film.steps[last];
const panels = film.panels, several = panels.length > 1;
// Colours that people with any kind of colour blindness tell apart; from the seventh on lines are dashed.
const inks = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];
for (const panel of panels) {
  [panel.high, panel.wide] = panel.tile;
  panel.rows = panel.grid.length;
  panel.columns = panel.grid[0].length;
  panel.end = panel.steps[panel.steps.length - 1];
}
const native = new OffscreenCanvas(
  Math.max(...panels.map((panel) => panel.at[1] + panel.columns * panel.wide)),
  Math.max(...panels.map((panel) => panel.at[0] + panel.rows * panel.high)));
const paper = native.getContext("2d", { willReadFrequently: true });
const dark = matchMedia("(prefers-color-scheme: dark)");
const frames = new Array(count);       // levels of each frame, once the video has shown it
let now = last, drawn = -1, unit = null, kept = false, playing = false;

// Frames are read from the video once and then kept, so that the slider is exact and quick.
const video = document.createElement("video");
video.muted = true;
video.preload = "auto";
const bytes = Uint8Array.from(atob("@video@"), (letter) => letter.charCodeAt(0));
video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
video.onerror = () => { at("#about").textContent = "This browser cannot play H.264, in which the film is stored."; };
const event = (name) => new Promise((done) => video.addEventListener(name, done, { once: true }));
// A browser may say that it has sought before the picture is the new one: it tells the time of each picture that it presents.
// Where the page is hidden it presents none, and where the picture stays the same it may present none: three seconds are waited.
let patience = 3000;
async function presented(frame) {
  let over = false, done;
  const found = new Promise((resolve) => { done = resolve; });
  const look = (_, picture) => {
    if (Math.floor(picture.mediaTime / video.duration * count + 0.25) === frame) done(true);
    else if (!over) video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  await event("seeked");
  // A page that has been scrolled out of view may be told nothing either: it is not waited for at length twice.
  if (!document.hidden) patience = await Promise.race([found, new Promise((late) => setTimeout(late, patience))]) ? 3000 : 250;
  over = true;
}
async function read(frame) {
  const ready = video.requestVideoFrameCallback ? presented(frame) : event("seeked");
  video.currentTime = (frame + 0.5) * video.duration / count;
  await ready;
  paper.drawImage(video, 0, 0);
  const pixels = paper.getImageData(0, 0, native.width, native.height).data;
  const levels = new Uint8Array(native.width * native.height);
  for (let i = 0; i < levels.length; i++) levels[i] = pixels[4 * i];
  frames[frame] = levels;
}
async function readAll() {
  if (video.readyState < 2) await event("loadeddata");
  await read(last);
  show();
  for (;;) {
    const next = frames[now] ? frames.findIndex((levels) => !levels) : now;
    if (next < 0) break;
    await read(next);
    if (next === now) show();
  }
  document.documentElement.dataset.ready = "all";
}

// Each network has a figure for its film, a curve and a dot.
const svg = (name, attributes) => {
  const element = document.createElementNS(at("#path").namespaceURI, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  return element;
};
at("main").classList.toggle("several", several);
panels.forEach((panel, k) => {
  const figure = document.createElement("figure"), stage = document.createElement("div");
  panel.names = document.createElement("ol");
  panel.canvas = document.createElement("canvas");
  panel.brush = panel.canvas.getContext("2d");
  panel.curveLine = svg("polyline", { class: "curve" });
  panel.dot = document.createElement("span");
  stage.className = "stage";
  panel.names.className = "names";
  panel.canvas.className = "film";
  panel.dot.className = "dot";
  panel.canvas.tabIndex = 0;
  panel.canvas.setAttribute("aria-label", "weights of each unit");
  stage.append(panel.names, panel.canvas);
  if (several) {
    const ink = inks[k % inks.length], dash = Math.floor(k / inks.length);
    const look = { stroke: ink, "stroke-dasharray": dash ? `${3 * dash + 1} ${2 * dash + 1}` : "none" };
    const head = document.createElement("figcaption"), name = document.createElement("b");
    const swatch = svg("svg", { viewBox: "0 0 18 4" });
    swatch.append(svg("line", { x1: 0, y1: 2, x2: 18, y2: 2, "stroke-width": 4, ...look }));
    name.textContent = panel.name;
    head.title = [panel.name, panel.subtitle].filter(Boolean).join("\n");
    head.append(swatch, name);
    panel.standing = document.createElement("p");
    figure.append(head, stage, panel.standing);
    Object.entries(look).forEach(([key, value]) => { panel.curveLine.style[key === "stroke" ? key : "strokeDasharray"] = value; });
    panel.dot.style.background = ink;
  } else {
    figure.append(stage);
  }
  at("#stages").append(figure);
  at("#learning svg").append(panel.curveLine);
  at("#learning").append(panel.dot);
});

const maps = {};
function colours() {
  const name = dark.matches && film.colours[1] ? 1 : 0;
  if (!maps[name]) {
    const text = film.colours[name];
    maps[name] = Uint8Array.from({ length: 768 }, (_, i) => parseInt(text.substr(2 * i, 2), 16));
  }
  return maps[name];
}
function paint(target, levels) {
  const map = colours(), image = target.createImageData(target.canvas.width, target.canvas.height);
  for (let i = 0, k = 0; i < levels.length; i++, k += 4) {
    const at = 3 * levels[i];
    image.data[k] = map[at];
    image.data[k + 1] = map[at + 1];
    image.data[k + 2] = map[at + 2];
    image.data[k + 3] = 255;
  }
  target.putImageData(image, 0, 0);
}

// Each pixel of a weight is a whole number of pixels of the screen.
function fit() {
  const ratio = devicePixelRatio || 1;
  // Beside a film may be the enlarged unit and, of a matrix, the names of its inputs.
  const names = (panel) => 7 * Math.max(0, ...panel.features.map((name) => Math.min(24, name.length)));
  const padding = several && innerWidth <= 1100 ? 24 : innerWidth > 620 ? 48 : 28;
  const beside = padding + (innerWidth > 620 && !several ? 228 : 0);
  const wider = film.gap ? 1 : 0;
  const width = (panel) => panel.columns * (panel.wide + wider);
  const height = (panel) => panel.rows * (panel.high + wider);
  const room = (panel, across) => {
    const wide = ((innerWidth - beside - 12 * (across - 1)) / across - names(panel)) / width(panel);
    const lines = Math.ceil(panels.length / across);
    const high = ((innerHeight - (several ? 290 : 270)) / lines - (several ? 70 : 0)) / height(panel);
    return [wide, high];
  };
  // In a low window the films may be scrolled, so that their tiles do not become too small to read.
  const least = (panel, across) => {
    const [wide, high] = room(panel, across);
    return Math.min(wide, Math.max(high, several ? 2 : 60 / panel.high));
  };
  const largest = (panel) => Math.max(1, Math.floor((several ? 480 : 720) / Math.max(panel.columns * panel.wide, panel.rows * panel.high)));
  // As many beside each other as makes them largest in this window.
  let across = 1, best = 0;
  for (let tried = 1; tried <= panels.length; tried++) {
    if (tried > 1 && (innerWidth - padding - 12 * (tried - 1)) / tried < 200) break;
    const zoom = Math.min(...panels.map((panel) => Math.floor(ratio * Math.min(least(panel, tried), largest(panel)))));
    if (zoom >= best) [across, best] = [tried, zoom];
  }
  // Two rows of two are better than one of three and one of one.
  across = Math.ceil(panels.length / Math.ceil(panels.length / across));
  for (const panel of panels) {
    panel.zoom = Math.max(1, Math.min(Math.floor(least(panel, across) * ratio), Math.round(largest(panel) * ratio)));
    panel.gap = film.gap ? Math.max(Math.round((several ? 1 : 2) * ratio), panel.zoom) : 0;
    panel.canvas.width = panel.columns * (panel.wide * panel.zoom + panel.gap) - panel.gap;
    panel.canvas.height = panel.rows * (panel.high * panel.zoom + panel.gap) - panel.gap;
    panel.canvas.style.width = panel.canvas.width / ratio + "px";
    fitNames(panel, panel.zoom / ratio);
  }
  const widths = panels.map((panel) => Math.max(several ? 200 : 0, panel.canvas.width / ratio + (panel.names.hidden ? 0 : names(panel) + 9)));
  const column = Math.min(Math.max(...widths), innerWidth - padding);
  at("#stages").style.gridTemplateColumns = several ? `repeat(${across}, ${column}px)` : "minmax(0, max-content)";
  if (several) at("main").style.maxWidth = Math.max(innerWidth > 620 ? 760 : 0, across * (column + 12) - 12) + "px";
  at("#time").style.maxWidth = Math.max(panels[0].canvas.width / ratio, 300) + "px";
  drawn = -1;
}
// The names of the inputs beside the rows of a matrix, where a row is as high as a letter.
function fitNames(panel, height) {
  const names = panel.names;
  names.hidden = !panel.features.length || height < 9;
  if (names.hidden) return;
  names.replaceChildren(...panel.features.map((name) => {
    const item = document.createElement("li");
    item.textContent = name.length > 24 ? name.slice(0, 23) + "\u2026" : name;
    item.style.height = height + "px";
    item.style.fontSize = Math.min(12, height) + "px";
    return item;
  }));
}
function eachTile(panel, visit) {
  panel.grid.forEach((line, i) => line.forEach((name, j) => { if (name !== null) visit(name, i, j); }));
}
const isUnder = (panel, name) => unit && unit.panel === panel && unit.name === name;
function drawFilm() {
  paint(paper, frames[now]);
  panels.forEach(drawPanel);
  drawn = now;
}
function drawPanel(panel) {
  const style = getComputedStyle(document.documentElement);
  const { canvas, brush, high, wide, zoom, gap, at: [above, before] } = panel;
  brush.imageSmoothingEnabled = false;
  brush.clearRect(0, 0, canvas.width, canvas.height);
  eachTile(panel, (name, i, j) => {
    const left = j * (wide * zoom + gap), top = i * (high * zoom + gap);
    brush.drawImage(native, before + j * wide, above + i * high, wide, high, left, top, wide * zoom, high * zoom);
    if (panel.dead.includes(name) && !panel.matrix) {
      const radius = 3 * (devicePixelRatio || 1);
      brush.beginPath();
      brush.arc(left + wide * zoom - 2 * radius, top + 2 * radius, radius, 0, 7);
      brush.fillStyle = style.getPropertyValue("--mark");
      brush.strokeStyle = style.getPropertyValue("--page");
      brush.lineWidth = radius / 1.5;
      brush.stroke();
      brush.fill();
    }
    if (isUnder(panel, name) && !panel.matrix) {
      const line = Math.max(2, Math.round(1.5 * (devicePixelRatio || 1)));
      brush.strokeStyle = style.getPropertyValue("--ink");
      brush.lineWidth = line;
      brush.strokeRect(left + line / 2, top + line / 2, wide * zoom - line, high * zoom - line);
    }
  });
}

const number = (x) => x.toLocaleString("en", { maximumSignificantDigits: 3 });
function drawUnit() {
  for (const panel of panels) {
    [...panel.names.children].forEach((item, row) => item.classList.toggle("under", unit?.panel === panel && unit.row === row));
  }
  const tile = at("#tile"), path = at("#path"), about = at("#about");
  tile.hidden = !unit;
  path.toggleAttribute("hidden", !unit);
  if (!unit) {
    about.textContent = film.hint;
    return;
  }
  const panel = unit.panel, moved = panel.moved[unit.name], name = panel.units[unit.name] ?? `unit ${unit.name}`;
  const how = panel.relative ? `${number(100 * moved[now])} % of the length that it began with` : number(moved[now]);
  const words = [several ? panel.name : "", unit.feature ? `${unit.feature} \u2192 ${name}` : name];
  about.innerHTML = "<b></b><br><span></span>";
  about.firstChild.textContent = words.filter(Boolean).join(", ");
  const dead = panel.dead.includes(unit.name) ? ` Dead: ${panel.deadWords}.` : "";
  about.lastChild.textContent = `has moved by ${how}.${dead}`;
  const most = Math.max(...moved) || 1;
  path.querySelector("polyline").setAttribute("points",
    moved.slice(0, now + 1).map((y, t) => `${100 * film.steps[t] / (end || 1)},${40 - 38 * y / most}`).join(" "));
  tile.hidden = panel.matrix;
  if (panel.matrix) return;
  const { wide, high, at: [above, before] } = panel;
  const scale = Math.max(1, Math.floor((several ? 112 : 200) / Math.max(wide, high)));
  tile.width = wide * scale;
  tile.height = high * scale;
  const enlarged = tile.getContext("2d");
  enlarged.imageSmoothingEnabled = false;
  enlarged.drawImage(native, before + unit.j * wide, above + unit.i * high, wide, high, 0, 0, tile.width, tile.height);
}
// Curves of one measure share an axis.
const ranges = {};
for (const { curve } of panels) {
  if (!curve || !curve.steps.length) continue;
  const known = ranges[curve.name] ?? [Infinity, -Infinity];
  ranges[curve.name] = [Math.min(known[0], ...curve.values), Math.max(known[1], ...curve.values)];
}
function drawTime() {
  const step = film.steps[now];
  slider.value = step;
  button.textContent = playing ? "Pause" : "Play";
  const words = [`step ${step.toLocaleString("en")}`];
  for (const panel of panels) {
    const standing = drawCurve(panel, Math.min(step, panel.end));
    if (!several) words.push(...standing);
    else {
      if (step > panel.end) standing.push("ended");
      panel.standing.textContent = standing.join(" \u00b7 ") || "\u00a0";
    }
  }
  const names = Object.keys(ranges);
  if (several && names.length === 1) {
    at("#measure").textContent = `${names[0]} ${number(ranges[names[0]][0])} to ${number(ranges[names[0]][1])}`;
  }
  caption.value = words.join(" \u00b7 ");
}
// How a network stands at a step, in words; its curve gets a dot there.
function drawCurve(panel, step) {
  const words = [], { curve, dot } = panel;
  if (panel.epochs) words.push(`epoch ${(step / panel.epochs).toFixed(1)}`);
  dot.hidden = !curve || !curve.steps.length;
  if (dot.hidden) return words;
  let k = -1;
  while (k + 1 < curve.steps.length && curve.steps[k + 1] <= step) k++;
  const place = Math.max(k, 0), [low, high] = ranges[curve.name], range = high - low || 1;
  if (k >= 0) words.push(`${curve.name} ${number(curve.values[k])}`);
  dot.style.visibility = k >= 0 ? "visible" : "hidden";
  dot.style.left = 100 * curve.steps[place] / (end || 1) + "%";
  dot.style.top = 92 - 84 * (curve.values[place] - low) / range + "%";
  at("#learning").hidden = false;
  panel.curveLine.setAttribute("points", curve.steps.map((x, t) =>
    `${100 * x / (end || 1)},${92 - 84 * (curve.values[t] - low) / range}`).join(" "));
  return words;
}
function show() {
  if (frames[now]) drawFilm();
  drawTime();
  if (drawn === now) drawUnit();
  document.documentElement.dataset.frame = now;
}
function go(frame) { now = Math.max(0, Math.min(last, frame)); show(); }

let due = 0;
function play(time) {
  if (!playing) return;
  if (time >= due && frames[now]) {
    go(now === last ? 0 : now + 1);
    // At its end the film rests for a second.
    due = time + 1000 / film.fps / Number(speed.value) + (now === last ? 1000 : 0);
  }
  requestAnimationFrame(play);
}
function toggle() {
  playing = !playing;
  due = 0;
  drawTime();
  if (playing) requestAnimationFrame(play);
}
function pause() { playing = false; }
function nearest(step) {
  let best = 0;
  film.steps.forEach((other, t) => { if (Math.abs(other - step) < Math.abs(film.steps[best] - step)) best = t; });
  return best;
}
function under(panel, pointer) {
  const { canvas, high, wide, zoom, gap } = panel;
  const box = canvas.getBoundingClientRect();
  const x = (pointer.clientX - box.left) * canvas.width / box.width;
  const y = (pointer.clientY - box.top) * canvas.height / box.height;
  if (panel.matrix) {
    const row = Math.floor(y / zoom), column = Math.floor(x / zoom);
    if (row < 0 || row >= high || column < 0 || column >= wide) return null;
    return { panel, name: column, i: 0, j: 0, row, feature: panel.features[row] ?? `input ${row}` };
  }
  const i = Math.floor(y / (high * zoom + gap)), j = Math.floor(x / (wide * zoom + gap));
  const name = panel.grid[i]?.[j];
  return name === null || name === undefined ? null : { panel, name, i, j };
}
button.onclick = toggle;
slider.max = end;
slider.oninput = () => { pause(); go(nearest(Number(slider.value))); };
panels.forEach((panel) => {
  panel.canvas.onpointermove = (pointer) => { if (!kept) { unit = under(panel, pointer); show(); } };
  panel.canvas.onpointerleave = () => { if (!kept) { unit = null; show(); } };
  panel.canvas.onpointerdown = (pointer) => {
    const hit = under(panel, pointer);
    // A click holds a unit while the pointer moves on, and the next one lets it go.
    kept = Boolean(hit) && !(kept && isUnder(panel, hit.name));
    unit = hit;
    show();
  };
});
const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 };
document.onkeydown = (key) => {
  if (key.ctrlKey || key.metaKey || key.altKey || key.target === speed) return;
  // A button answers the space bar by itself.
  if (key.key === " " && key.target === button) return;
  if (key.key === " ") toggle();
  else if (key.key in steps) { pause(); go(now + steps[key.key]); }
  else if (key.key === "Home") { pause(); go(0); }
  else if (key.key === "End") { pause(); go(last); }
  else if (key.key === "+" || key.key === "-") {
    speed.selectedIndex = Math.max(0, Math.min(4, speed.selectedIndex + (key.key === "+" ? 1 : -1)));
  } else return;
  key.preventDefault();
};
function drawKey() {
  const bar = at("#key canvas").getContext("2d");
  paint(bar, Uint8Array.from({ length: 256 }, (_, i) => i));
  [at("#key").children[0].textContent, at("#key").children[2].textContent] = film.ends;
  const dead = panels.find((panel) => panel.dead.length);
  at("#dead").hidden = !dead;
  if (dead) at("#dead").textContent = `dead: ${dead.deadWords}`;
}
function renew() { fit(); drawKey(); show(); }
// A frame that is out of sight gets its size late, and not every browser then tells of it as a resize.
let size = "";
function resized() {
  const present = `${innerWidth} ${innerHeight}`;
  if (present === size) return;
  size = present;
  renew();
}
addEventListener("resize", resized);
new ResizeObserver(resized).observe(document.documentElement);
dark.addEventListener("change", renew);
resized();
readAll();
