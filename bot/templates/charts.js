"use strict";
(() => {
  const tip = document.body.appendChild(Object.assign(document.createElement("div"), { id: "tip", hidden: true }));
  const make = (tag, text, name) =>
    Object.assign(document.createElement(tag), { textContent: text ?? "", className: name ?? "" });

  function place(x, y) {
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const below = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
    tip.style.transform = `translate(${Math.max(right, 4)}px, ${Math.max(below, 4)}px)`;
  }

  function lines(figure) {
    const plot = figure.querySelector(".plot");
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const groups = [...figure.querySelectorAll("[data-series]")];
    const cross = make("div", "", "cross");
    const dots = chart.series.map((_, index) => make("div", "", `dot s${index}`));
    let at = null;

    function clear() {
      at = null;
      tip.hidden = true;
      [cross, ...dots].forEach((one) => one.remove());
    }

    function show(index, y) {
      at = index;
      const left = 100 * chart.x[index];
      cross.style.left = `${left}%`;
      plot.append(cross);
      const table = make("table");
      chart.series.forEach((series, number) => {
        const value = series.values[index];
        if (value === null || groups[number].hasAttribute("hidden")) return dots[number].remove();
        dots[number].style.left = `${left}%`;
        dots[number].style.top = `${(100 * (chart.high - value)) / (chart.high - chart.low)}%`;
        plot.append(dots[number]);
        const row = table.insertRow();
        row.insertCell().append(make("i", "", `s${number}`));
        row.insertCell().textContent = series.name;
        row.insertCell().textContent = value.toFixed(chart.decimals).replace("-", "\u2212");
      });
      tip.replaceChildren(make("b", chart.labels[index]), table);
      const box = plot.getBoundingClientRect();
      place(box.left + box.width * chart.x[index], y ?? box.top + box.height / 3);
    }

    function nearest(clientX) {
      const box = plot.getBoundingClientRect();
      const share = (clientX - box.left) / box.width;
      let low = 0, high = chart.x.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (chart.x[middle] < share) low = middle; else high = middle;
      }
      return share - chart.x[low] < chart.x[high] - share ? low : high;
    }

    plot.addEventListener("pointermove", (event) => show(nearest(event.clientX), event.clientY));
    plot.addEventListener("pointerdown", (event) => show(nearest(event.clientX), event.clientY));
    plot.addEventListener("pointerleave", clear);
    plot.addEventListener("blur", clear);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(Math.min(Math.max((at ?? (step > 0 ? -1 : chart.x.length)) + step, 0), chart.x.length - 1));
    });
    figure.querySelectorAll("[data-toggle]").forEach((button) =>
      button.addEventListener("click", () => {
        const on = groups[button.dataset.toggle].toggleAttribute("hidden");
        button.setAttribute("aria-pressed", String(!on));
        clear();
      }),
    );
  }

  document.querySelectorAll(".chart.lines").forEach(lines);
  const withTip = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("pointermove", (event) => {
    const one = withTip(event);
    if (one) {
      tip.textContent = one.dataset.tip;
      place(event.clientX, event.clientY);
    } else if (!event.target.closest?.(".plot")) tip.hidden = true;
  });
  document.addEventListener("focusin", (event) => {
    const one = withTip(event);
    if (!one || !one.matches(":focus-visible")) return;
    tip.textContent = one.dataset.tip;
    const box = one.getBoundingClientRect();
    place(box.left + box.width / 2, box.bottom);
  });
  document.addEventListener("focusout", () => { tip.hidden = true; });
})();
