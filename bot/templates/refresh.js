"use strict";
(() => {
  function words(seconds) {
    const minutes = Math.max(Math.ceil(seconds / 60), 0), days = Math.floor(minutes / 1440);
    if (days) return `${days} d ${Math.floor(minutes / 60) % 24} h`;
    return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes} min`;
  }
  function count() {
    for (const one of document.querySelectorAll("time[data-until]"))
      one.textContent = "in " + words((Date.parse(one.dataset.until) - Date.now()) / 1000);
  }
  // Nothing that a person types is thrown away.
  const typing = () => [...document.querySelectorAll("form")].some((form) =>
    form.contains(document.activeElement) || [...form.querySelectorAll("input")].some((one) => one.value));
  const place = (one) => [...document.querySelectorAll("#page a, #page [tabindex]")].indexOf(one);
  async function renew() {
    if (document.hidden || typing()) return;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const made = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (typing()) return;
      const focused = place(document.activeElement);
      document.querySelector("#page").replaceChildren(...made.querySelector("#page").children);
      if (focused >= 0) document.querySelectorAll("#page a, #page [tabindex]")[focused]?.focus({ preventScroll: true });
      count();
    } catch { /* the bot is being restarted; the next try may reach it */ }
  }
  count();
  setInterval(count, 15000);
  if (!document.querySelector("figure")) setInterval(renew, 60000);
})();
