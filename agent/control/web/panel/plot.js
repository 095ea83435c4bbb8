// Temperatures of the last minutes as SVG: series of [age_s, actual, target], oldest first.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const LEFT = 34, RIGHT = 6, TOP = 8, BOTTOM = 20;

  function node(name, attributes, text) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function niceTop(highest) {
    const steps = [50, 80, 100, 150, 200, 250, 300, 400, 500];
    return steps.find((step) => step >= highest + 5) || Math.ceil(highest / 100) * 100;
  }

  function path(points, x, y) {
    return points.map(([age, value], index) => `${index ? "L" : "M"}${x(age).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  }

  window.drawPlot = function drawPlot(svg, series) {
    const width = svg.clientWidth || 320, height = svg.clientHeight || 190;
    const heaters = Object.keys(series);
    const all = heaters.flatMap((heater) => series[heater]);
    const span = Math.max(60, ...all.map((point) => point[0]));
    const top = niceTop(Math.max(40, ...all.map((point) => Math.max(point[1], point[2]))));
    const x = (age) => LEFT + (width - LEFT - RIGHT) * (1 - Math.min(age, span) / span);
    const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - Math.max(0, value) / top);
    const parts = [];
    for (let part = 0; part <= 2; part += 1) {
      const value = (top / 2) * part;
      parts.push(node("line", { class: "grid-line", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(node("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, `${Math.round(value)}°`));
    }
    const minutes = Math.round(span / 60);
    parts.push(node("text", { x: LEFT, y: height - 4 }, `${minutes} min ago`));
    parts.push(node("text", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, "now"));
    for (const heater of heaters) {
      const tone = heater.charAt(0);
      const wanted = series[heater].filter((point) => point[2] > 0).map((point) => [point[0], point[2]]);
      if (wanted.length > 1) parts.push(node("path", { class: `target ${tone}`, d: path(wanted, x, y) }));
      const actual = series[heater].map((point) => [point[0], point[1]]);
      if (actual.length > 1) parts.push(node("path", { class: `curve ${tone}`, d: path(actual, x, y) }));
    }
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(...parts);
  };
})();
