// Loss over learning rate with a line to drag to any rate; the figure is drawn by plotly.js.
// data: what a chart takes, and {rate, low, high, zones: [{name, until}], chips: [{text, rate, best}]}
// The line is a slider: mouse, finger and arrow keys move it. Its rate is the component's state `rate`.
const PAUSE = 120; // milliseconds between two rates told while it is dragged
const BIT = 1.06, LEAP = 2; // factors of an arrow key and of a page key

function spoken(rate) {
  const short = Number(rate.toPrecision(2));
  if (short >= 1e-4 || !short) return String(short);
  return short.toExponential().replace(/e-(\d)$/, "e-0$1");
}

class RateLine {
  constructor(root, tell) {
    this.root = root;
    this.tell = tell;
    this.plot = root.querySelector(".plot");
    this.line = root.querySelector(".line");
    this.field = root.querySelector("input");
    this.chips = root.querySelector(".chips");
    this.moved = false;
    this.listen();
  }

  take(data, tell) {
    this.data = data;
    this.tell = tell;
    if (!this.moved && !this.dragging && data.rate) this.rate = data.rate;
    this.chips.replaceChildren(...data.chips.map((chip) => this.chip(chip)));
    this.show();
  }

  chip({ text, rate, best }) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = best ? "chip best" : "chip";
    button.textContent = `${text}: ${spoken(rate)}`;
    button.onclick = () => this.move(rate, true);
    return button;
  }

  get axis() { return this.plot._fullLayout && this.plot._fullLayout.xaxis; }

  clamped(rate) { return Math.min(this.data.high, Math.max(this.data.low, rate)); }

  // Take `rate`; the page is told at once when it is `final`, else now and then.
  move(rate, final) {
    if (!Number.isFinite(rate) || rate <= 0) return;
    this.moved = true;
    this.rate = this.clamped(Number(rate.toPrecision(2)));
    this.show();
    const wait = this.told ? this.told + PAUSE - performance.now() : 0;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.told = performance.now();
      this.tell(this.rate);
    }, final ? 0 : Math.max(0, wait));
  }

  show() {
    const axis = this.axis;
    this.line.hidden = !axis || !this.rate;
    if (this.line.hidden) return;
    const zone = this.data.zones.find((each) => this.rate <= each.until);
    const text = spoken(this.rate) + (zone ? ` · ${zone.name}` : "");
    this.line.style.left = axis._offset + axis.d2p(this.rate) + "px";
    this.line.style.top = this.plot._fullLayout.yaxis._offset + "px";
    this.line.style.height = this.plot._fullLayout.yaxis._length + "px";
    this.line.dataset.zone = zone ? zone.name : "";
    const tag = this.line.querySelector(".tag");
    tag.textContent = text;
    const half = tag.offsetWidth / 2, at = axis.d2p(this.rate);
    const shift = Math.max(half - at - axis._offset, Math.min(0, axis._length + 10 - at - half));
    tag.style.transform = `translateX(calc(-50% + ${shift}px))`;
    this.line.setAttribute("aria-valuemin", this.data.low);
    this.line.setAttribute("aria-valuemax", this.data.high);
    this.line.setAttribute("aria-valuenow", this.rate);
    this.line.setAttribute("aria-valuetext", text);
    if (document.activeElement !== this.field) this.field.value = spoken(this.rate);
  }

  // Whether the pointer is over the area of the curve, where a press brings the line.
  inside(event) {
    const box = this.plot.getBoundingClientRect();
    const { xaxis, yaxis } = this.plot._fullLayout;
    const x = event.clientX - box.left - xaxis._offset, y = event.clientY - box.top - yaxis._offset;
    return x >= 0 && x <= xaxis._length && y >= 0 && y <= yaxis._length;
  }

  follow(event) {
    const left = this.plot.getBoundingClientRect().left + this.axis._offset;
    const pixel = Math.min(this.axis._length, Math.max(0, event.clientX - left));
    this.move(this.axis.p2d(pixel), false);
  }

  listen() {
    const area = this.root.querySelector(".area");
    area.addEventListener("pointerdown", (event) => {
      if (event.button || !this.axis) return;
      if (!this.line.contains(event.target) && !this.inside(event)) return;
      this.dragging = true;
      area.setPointerCapture(event.pointerId);
      this.line.focus({ preventScroll: true });
      event.preventDefault();
      this.follow(event);
    }, true);
    area.addEventListener("pointermove", (event) => this.dragging && this.follow(event), true);
    for (const end of ["pointerup", "pointercancel"]) {
      area.addEventListener(end, () => {
        if (this.dragging) this.move(this.rate, true);
        this.dragging = false;
      }, true);
    }
    this.line.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("change", () => {
      const rate = Number(this.field.value.replace(",", "."));
      if (rate > 0) this.move(rate, true);
      this.field.value = spoken(this.rate);
    });
  }

  key(event) {
    const { low, high } = this.data;
    const to = {
      ArrowRight: this.rate * BIT, ArrowUp: this.rate * BIT, ArrowLeft: this.rate / BIT, ArrowDown: this.rate / BIT,
      PageUp: this.rate * LEAP, PageDown: this.rate / LEAP, Home: low, End: high,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.move(to, false);
  }
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".catfish-chart");
  const tell = (rate) => setStateValue("rate", rate);
  root.slider = root.slider || new RateLine(root, tell);
  draw(root, data, (plot) => {
    if (!root.placed) {
      root.placed = true;
      plot.on("plotly_afterplot", () => root.slider.show());
    }
    root.slider.take(data, tell);
  });
  return () => cleared(root);
}
