"use strict";
(() => {
  const ICONS = { in: "M8 3v10M3 8h10", out: "M3 8h10", whole: "M2 8h12M5 5 2 8l3 3M11 5l3 3-3 3", full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" };
  const COLOURS = 8, MINUS = "\u2212";
  const make = (tag, text, name) =>
    Object.assign(document.createElement(tag), { textContent: text ?? "", className: name ?? "" });
  const shown = (value, decimals) => value.toFixed(decimals).replace("-", MINUS);
  const between = (value, low, high) => Math.min(Math.max(value, low), high);
  const tip = Object.assign(make("div"), { id: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);

  function place(owner, x, y) {
    if (tip.parentNode !== owner) owner.append(tip); // a dialog hides what is outside it
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const below = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
    tip.style.transform = `translate(${Math.max(right, 4)}px, ${Math.max(below, 4)}px)`;
  }

  function tool(figure, name, label, act) {
    const button = make("button", "", "tool");
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", `${label}: ${figure.dataset.title}`);
    button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
    button.addEventListener("click", act);
    figure.querySelector(".tools").append(button);
    return button;
  }

  function fullScreen(figure) {
    if (figure.closest("dialog")) return figure.closest("dialog").close();
    const dialog = make("dialog", "", "whole"), hole = document.createComment("");
    figure.replaceWith(hole);
    dialog.append(figure);
    document.body.append(dialog);
    const left = () => document.fullscreenElement || dialog.close();
    dialog.addEventListener("close", () => {
      document.removeEventListener("fullscreenchange", left);
      if (document.fullscreenElement) document.exitFullscreen();
      hole.replaceWith(figure);
      dialog.remove();
      figure.querySelector(".tool:last-child").focus();
    });
    dialog.showModal();
    // The dialog fills the window; where the browser allows it, the figure fills the screen.
    figure.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
  }

  // Evenly spaced round numbers that cover a range; chart_axes.round_ticks does the same on the server.
  function ticks(low, high) {
    const rough = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= rough * (1 - 1e-9));
    const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return { decimals, values: Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step) };
  }

  // The points of a path of charts.py: a first point of each stretch, then distances.
  function points(path) {
    const found = new Map();
    for (const stretch of path.getAttribute("d").split("M").slice(1)) {
      const numbers = stretch.match(/-?\d+/g).map(Number);
      for (let index = 0, x = 0, y = 0; index < numbers.length; index += 2)
        found.set((x += numbers[index]), (y += numbers[index + 1]));
    }
    return found;
  }

  function lines(figure) {
    const plot = figure.querySelector(".plot"), svg = plot.querySelector("svg");
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const groups = [...figure.querySelectorAll("[data-series]")];
    const series = groups.map((group) => points(group.querySelector(".line")));
    const banded = Boolean(figure.querySelector(".band"));
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const at = chart.x ?? chart.labels.map((_, index) => index), unit = 10 ** chart.digits;
    const whole = { from: 0, to: width, low: chart.low, high: chart.high };
    const drawn = [...plot.querySelectorAll(".x, .y")];
    const cross = make("div", "", "cross"), pick = make("div", "", "pick");
    const dots = groups.map((_, index) => make("div", "", `dot s${index % COLOURS}`));
    let view = whole, current = null, start = null, marks = drawn, back = [];

    const share = (x) => (x - view.from) / (view.to - view.from);
    const valueAt = (number, index) => {
      const y = series[number].get(at[index]);
      return y === undefined || groups[number].hasAttribute("hidden") ? null : chart.high - y / unit;
    };
    const inside = () => at.map((_, index) => index).filter((index) => at[index] >= view.from && at[index] <= view.to);

    function clear() {
      current = null;
      tip.hidden = true;
      [cross, ...dots].forEach((one) => one.remove());
    }

    function show(index, y) {
      current = index;
      if (at[index] < view.from || at[index] > view.to) {
        const half = (view.to - view.from) / 2;
        zoom(at[index] - half, at[index] + half);
        current = index;
      }
      const left = share(at[index]), table = make("table");
      cross.style.left = `${100 * left}%`;
      plot.append(cross);
      chart.names.forEach((name, number) => {
        const value = valueAt(number, index);
        if (value === null) return dots[number].remove();
        dots[number].style.left = `${100 * left}%`;
        dots[number].style.top = `${(100 * (view.high - value)) / (view.high - view.low)}%`;
        plot.append(dots[number]);
        const row = table.insertRow();
        row.insertCell().append(make("i", "", `s${number % COLOURS}`));
        row.insertCell().textContent = name;
        row.insertCell().textContent = shown(value, chart.decimals);
      });
      tip.replaceChildren(make("b", `${chart.across} ${chart.labels[index]}`.trim()), table);
      const box = plot.getBoundingClientRect();
      place(figure, box.left + box.width * left, y ?? box.top + box.height / 3);
    }

    const nearest = (clientX) => {
      const box = plot.getBoundingClientRect();
      const x = view.from + ((clientX - box.left) / box.width) * (view.to - view.from);
      return inside().reduce((best, index) => (Math.abs(at[index] - x) < Math.abs(at[best] - x) ? index : best), inside()[0]);
    };

    function mark(axis, position, text) {
      const one = make("span", axis === "x" ? text : "", axis + (axis === "x" && position > 0.99 ? " end" : ""));
      if (axis === "y") {
        one.append(make("b", text));
        one.classList.toggle("zero", Number(text) === 0);
      }
      one.style[axis === "x" ? "left" : "top"] = `${100 * position}%`;
      return one;
    }

    // The view's own labels: of positions, or round numbers where the positions are numbers.
    function across() {
      if (!chart.range?.length) {
        const seen = inside(), step = Math.ceil(seen.length / 5);
        return seen.filter((_, index) => index % step === 0).map((index) => [share(at[index]), chart.labels[index]]);
      }
      const [first, last] = chart.range, number = (x) => first + ((last - first) * x) / width;
      const { values, decimals } = ticks(number(view.from), number(view.to));
      const positions = values.map((value) => [share(((value - first) / (last - first)) * width), shown(value, decimals)]);
      return positions.filter(([position]) => position >= 0 && position <= 1);
    }

    function draw() {
      svg.setAttribute("viewBox", [view.from, (chart.high - view.high) * unit, view.to - view.from, (view.high - view.low) * unit].join(" "));
      marks.forEach((one) => one.remove());
      if (view === whole) marks = drawn;
      else {
        const { values, decimals } = ticks(view.low, view.high);
        const up = values.map((value) => mark("y", (view.high - value) / (view.high - view.low), shown(value, decimals)));
        marks = [...up, ...across().map(([position, text]) => mark("x", position, text))];
      }
      svg.before(...marks);
      figure.classList.toggle("zoomed", view !== whole);
      if (view === whole) {
        if (back.includes(document.activeElement)) plot.focus();
        back.forEach((one) => one.remove());
      } else if (back.length && !back[0].isConnected) figure.querySelector(".tool").after(...back);
    }

    function zoom(from, to) {
      const least = chart.x ? width / 1000 : 2, size = Math.max(to - from, least);
      const first = between((from + to - size) / 2, 0, Math.max(width - size, 0));
      clear();
      view = size >= width ? whole : { ...whole, from: first, to: first + size };
      const values = view === whole || banded ? [] : inside().flatMap((index) => groups.map((_, number) => valueAt(number, index)));
      const known = values.filter((value) => value !== null);
      if (known.length) {
        const low = Math.min(...known), high = Math.max(...known), air = high > low ? 0 : (chart.high - chart.low) / 100;
        const found = ticks(low - air, high + air).values;
        Object.assign(view, { low: found[0], high: found.at(-1) });
      }
      draw();
    }

    function by(factor) {
      const half = ((view.to - view.from) * factor) / 2, centre = current === null ? (view.from + view.to) / 2 : at[current];
      const kept = current;
      zoom(centre - half, centre + half);
      if (kept !== null) show(kept);
    }

    const inPlot = (event) => {
      const box = plot.getBoundingClientRect();
      return between((event.clientX - box.left) / box.width, 0, 1);
    };
    plot.addEventListener("pointerdown", (event) => {
      show(nearest(event.clientX), event.clientY);
      if (event.button || (event.pointerType === "touch" && view === whole)) return;
      start = { share: inPlot(event), view, touch: event.pointerType === "touch" };
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
      if (start?.touch) {
        const shift = (start.share - inPlot(event)) * (start.view.to - start.view.from);
        return zoom(start.view.from + shift, start.view.to + shift);
      }
      show(nearest(event.clientX), event.clientY);
      if (!start) return;
      const [left, right] = [start.share, inPlot(event)].sort((one, other) => one - other);
      Object.assign(pick.style, { left: `${100 * left}%`, width: `${100 * (right - left)}%` });
      plot.append(pick);
    });
    const end = (event) => {
      pick.remove();
      const begun = start;
      start = null;
      if (!begun || begun.touch || event.type === "pointercancel") return;
      const [left, right] = [begun.share, inPlot(event)].sort((one, other) => one - other);
      const span = view.to - view.from;
      if (right - left > 0.02) zoom(view.from + left * span, view.from + right * span);
    };
    plot.addEventListener("pointerup", end);
    plot.addEventListener("pointercancel", end);
    plot.addEventListener("dblclick", () => zoom(0, width));
    plot.addEventListener("pointerleave", clear);
    plot.addEventListener("blur", clear);
    plot.addEventListener("keydown", (event) => {
      const last = at.length - 1, next = (step) => between((current ?? (step > 0 ? -1 : last + 1)) + step, 0, last);
      const act = {
        ArrowLeft: () => show(next(-1)), ArrowRight: () => show(next(1)), Home: () => show(0), End: () => show(last),
        "+": () => by(0.5), "=": () => by(0.5), "-": () => by(2), 0: () => zoom(0, width),
      }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
    figure.querySelectorAll("[data-toggle]").forEach((button) =>
      button.addEventListener("click", () => {
        const on = groups[button.dataset.toggle].toggleAttribute("hidden");
        button.setAttribute("aria-pressed", String(!on));
        if (view === whole) clear(); else zoom(view.from, view.to);
      }),
    );
    if (at.length > 2) {
      tool(figure, "in", "Zoom in", () => by(0.5));
      back = [tool(figure, "out", "Zoom out", () => by(2)), tool(figure, "whole", "Whole range", () => zoom(0, width))];
      back.forEach((one) => one.remove()); // they are there while the chart is zoomed
    }
  }

  // Bars and heat charts: rows, and columns where there are any.
  function matrix(figure) {
    const area = figure.querySelector(".area"), chart = JSON.parse(figure.querySelector("script").textContent);
    const names = [...figure.querySelectorAll(".names span")].map((one) => one.textContent);
    const values = [...figure.querySelectorAll(".values span")].map((one) => one.textContent);
    const columns = chart.columns ?? [""], cell = make("div", "", "cell");
    let row = 0, column = 0;

    function clear() {
      tip.hidden = true;
      cell.remove();
    }

    function show(x, y) {
      const value = chart.values?.[row][column];
      const text = chart.values ? (value === null ? "\u2013" : shown(value, chart.decimals)) : values[row] + chart.notes[row];
      tip.textContent = `${names[row]}${columns[column] && ` \u00b7 ${columns[column]}`}: ${text}`;
      const box = area.getBoundingClientRect(), wide = 100 / columns.length, high = 100 / names.length;
      Object.assign(cell.style, { left: `${column * wide}%`, top: `${row * high}%`, width: `${wide}%`, height: `${high}%` });
      area.append(cell);
      place(figure, x ?? box.left + (box.width * (column + 0.5)) / columns.length, y ?? box.top + (box.height * (row + 1)) / names.length);
    }

    const point = (event) => {
      const box = area.getBoundingClientRect();
      row = between(Math.floor(((event.clientY - box.top) / box.height) * names.length), 0, names.length - 1);
      column = between(Math.floor(((event.clientX - box.left) / box.width) * columns.length), 0, columns.length - 1);
      show(event.clientX, event.clientY);
    };
    area.addEventListener("pointermove", point);
    area.addEventListener("pointerdown", point);
    area.addEventListener("pointerleave", clear);
    area.addEventListener("blur", clear);
    area.addEventListener("focus", () => { if (area.matches(":focus-visible")) show(); });
    area.addEventListener("keydown", (event) => {
      const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
      if (!down && (!right || columns.length === 1)) return;
      event.preventDefault();
      row = between(row + down, 0, names.length - 1);
      column = between(column + right, 0, columns.length - 1);
      show();
    });
  }

  for (const figure of document.querySelectorAll(".chart:not(.empty)")) {
    const caption = figure.querySelector("figcaption");
    figure.dataset.title = caption.textContent;
    caption.append(make("span", "", "tools"));
    (figure.matches(".lines") ? lines : matrix)(figure);
    tool(figure, "full", "Full screen", () => fullScreen(figure));
  }
})();
