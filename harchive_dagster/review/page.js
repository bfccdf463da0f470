"use strict";
// Every jump is a link to #<session>@<seconds>: a place can be kept, sent to a colleague, and gone back from.
const SVG = "http://www.w3.org/2000/svg";
const PLACE = /^#([a-z0-9-]+)@(\d+(?:\.\d+)?)$/;
const INSIDE_S = 0.001; // players round a moment down to a tick: a little later is surely in the frame that starts there
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
const TICK_PX = 80, PICTURE_PX = 128, MOST_PX = 1e6, FINEST_PX_PER_S = 400;

function clock(s) {
  const hundredths = Math.round(s * 100), minutes = Math.floor(hundredths / 6000);
  const hours = minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  return `${hours}:${((hundredths % 6000) / 100).toFixed(2).padStart(5, "0")}`;
}

class Session {
  constructor(section) {
    const find = (selector) => section.querySelector(selector);
    Object.assign(this, { section, video: find("video"), scroller: find(".scroller"), rows: find(".rows"), film: find(".film") });
    Object.assign(this, { ticks: find(".ticks"), line: find(".cursor line"), now: find(".now"), zoom: 1 });
    this.duration = Number(section.dataset.duration);
    this.frame = Number(section.dataset.frame);
    this.starts = [...section.querySelectorAll('[data-kind="segment"] .span, [data-kind="annotation"] .span')]
      .map((span) => Number(span.dataset.start)).sort((a, b) => a - b);
    for (const name of ["timeupdate", "seeking", "seeked", "loadedmetadata"]) this.video.addEventListener(name, () => this.show());
    this.video.addEventListener("play", () => this.follow());
    section.addEventListener("pointerdown", () => { active = this; });
    section.addEventListener("focusin", () => { active = this; });
    for (const track of section.querySelectorAll(".track")) track.addEventListener("click", (event) => this.click(event, track));
    const actions = { before: () => this.label(-1), after: () => this.label(1), in: () => this.magnify(2), out: () => this.magnify(0.5), all: () => this.magnify(0) };
    for (const button of section.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
    const search = find("input[type=search]");
    if (search) search.addEventListener("input", () => this.filter(search.value.trim().toLowerCase()));
    this.lay();
  }

  get width() { return this.ticks.getBoundingClientRect().width; }

  seek(s) { this.video.currentTime = Math.min(Math.max(s, 0), this.duration); this.show(); }

  jump(s) {
    active = this;
    this.seek(s + INSIDE_S);
    this.reveal(s);
    this.video.scrollIntoView({ block: "nearest" });
  }

  click(event, track) {
    if (event.target.closest("a")) return; // the link says where to
    const box = track.getBoundingClientRect();
    this.seek((event.clientX - box.left) / box.width * this.duration);
  }

  label(way) {
    const now = this.video.currentTime - INSIDE_S, near = this.frame / 2;
    const next = way > 0 ? this.starts.find((s) => s > now + near) : this.starts.findLast((s) => s < now - near);
    if (next !== undefined) this.jump(next);
  }

  show() {
    const s = this.video.currentTime, x = `${s / this.duration * 100}%`;
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.now.textContent = clock(s);
  }

  follow() {
    this.show();
    if (this.video.paused) return;
    this.reveal(this.video.currentTime);
    requestAnimationFrame(() => this.follow());
  }

  reveal(s) {
    if (this.zoom === 1) return;
    const names = this.rows.clientWidth - this.width, seen = this.scroller.clientWidth - names;
    const x = s / this.duration * this.width - this.scroller.scrollLeft;
    if (x < 0 || x > seen) this.scroller.scrollLeft += x - seen / 4;
  }

  magnify(factor) {
    const plain = this.width / this.zoom, most = Math.min(MOST_PX, this.duration * FINEST_PX_PER_S) / plain;
    this.zoom = Math.max(1, Math.min(this.zoom * factor, most));
    this.rows.style.setProperty("--zoom", this.zoom);
    this.lay();
    const names = this.rows.clientWidth - this.width;
    this.scroller.scrollLeft = this.video.currentTime / this.duration * this.width - (this.scroller.clientWidth - names) / 2;
  }

  lay() {
    const width = this.width, step = STEPS_S.find((s) => s / this.duration * width >= TICK_PX) ?? 3600;
    const drawn = [];
    for (let number = 0; number * step < this.duration; number += 1) {
      const x = `${number * step / this.duration * 100}%`, line = document.createElementNS(SVG, "line"), text = document.createElementNS(SVG, "text");
      for (const [name, value] of [["x1", x], ["x2", x], ["y2", "100%"]]) line.setAttribute(name, value);
      for (const [name, value] of [["x", x], ["dx", "3"], ["y", "13"]]) text.setAttribute(name, value);
      text.textContent = step < 1 ? clock(number * step) : clock(number * step).slice(0, -3);
      drawn.push(line, text);
    }
    this.ticks.replaceChildren(...drawn);
    const pictures = [...this.film.children], every = Math.max(1, Math.floor(PICTURE_PX * pictures.length / width));
    pictures.forEach((link, number) => {
      link.setAttribute("display", number % every ? "none" : "inline");
      link.firstElementChild.setAttribute("width", `${every / pictures.length * 100}%`);
    });
  }

  filter(words) {
    for (const row of this.section.querySelectorAll("tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(words);
  }
}

let active = null;
const sessions = new Map([...document.querySelectorAll("section[data-duration]")].map((section) => [section.id, new Session(section)]));
active = sessions.values().next().value ?? null;

function goTo(hash) {
  const place = PLACE.exec(hash), session = place && sessions.get(place[1]);
  if (session) session.jump(Number(place[2]));
}

const KEYS = {
  " ": (one) => (one.video.paused ? one.video.play() : one.video.pause()),
  ArrowLeft: (one) => one.seek(one.video.currentTime - 1),
  ArrowRight: (one) => one.seek(one.video.currentTime + 1),
  ",": (one) => one.seek(one.video.currentTime - one.frame),
  ".": (one) => one.seek(one.video.currentTime + one.frame),
  n: (one) => one.label(1),
  p: (one) => one.label(-1),
  "+": (one) => one.magnify(2),
  "=": (one) => one.magnify(2),
  "-": (one) => one.magnify(0.5),
  0: (one) => one.magnify(0),
};

// Before the player's own keys, which would move it a second time.
document.addEventListener("keydown", (event) => {
  const isMeant = event.target.closest("input") || (event.key === " " && event.target.closest("button, summary"));
  if (!active || isMeant || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  event.stopPropagation();
  KEYS[event.key](active);
}, { capture: true });
// A second click on the same label changes no address, and must jump all the same.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const hash = link && (link.href.baseVal ?? link.getAttribute("href"));
  if (hash && hash === location.hash) goTo(hash);
});
addEventListener("hashchange", () => goTo(location.hash));
addEventListener("resize", () => sessions.forEach((one) => one.lay()));
goTo(location.hash);
