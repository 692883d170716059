/**
 * Connect the lines of parallel coordinates, the points of the other plots and the rows of the leaderboard.
 *
 * Pointing at one of them shows its trial in all of them. Dragging along an axis keeps the trials within a range.
 */
function exploreTrials(page) {
  const REACH = 24;  // px from the pointer to the nearest line, at most
  const STEP = 15;  // px by which a key moves a range
  const FIRST_RANGE = [0, 75];  // px from the upper end of an axis, with which keys begin

  const plot = page.querySelector(".parallel"), inner = plot.querySelector(".lines");
  const top = inner.y.baseVal.value, bottom = inner.height.baseVal.value;
  const lines = [...inner.querySelectorAll("polyline")].map(element => ({
    trial: element.dataset.trial,
    path: element.getAttribute("points"),
    text: element.querySelector("title").textContent,
    points: [...element.points].map(({x, y}) => ({x, y})),
  }));  // from the worst to the best
  const lineOf = new Map(lines.map(line => [line.trial, line]));
  const marks = [...page.querySelectorAll("[data-trial]")];
  const rows = [...page.querySelectorAll(".leaderboard tr[data-trial]")];
  const firstRows = rows.filter(row => !row.classList.contains("more")).length;
  const axes = [...plot.querySelectorAll(".axis")];
  const ranges = axes.map(() => null);  // the lowest and the highest y that pass, of each axis
  const about = page.querySelector(".trial"), hint = about.textContent;
  const filter = page.querySelector(".filter");
  const front = inner.appendChild(document.createElementNS(inner.namespaceURI, "polyline"));
  front.classList.add("chosen");
  let passing = lines, chosen = null, isPinned = false, drag = null;

  function choose(line) {
    if (line === chosen) return;
    chosen = line;
    marks.forEach(mark => mark.classList.toggle("chosen", line?.trial === mark.dataset.trial));
    front.setAttribute("points", line?.path ?? "");
    about.textContent = line?.text ?? hint;
    about.classList.toggle("muted", line === null);
  }

  function pin(line) {
    isPinned = line !== null;
    choose(line);
  }

  function setRange(axis, range) {
    ranges[axis] = range;
    const brush = axes[axis].querySelector(".brush");
    brush.setAttribute("y", top + (range?.[0] ?? 0));
    brush.setAttribute("height", range ? range[1] - range[0] : 0);
    passing = lines.filter(({points}) =>
      ranges.every((range, index) => !range || (range[0] <= points[index].y && points[index].y <= range[1])));
    const trials = new Set(passing.map(line => line.trial));
    marks.forEach(mark => mark.classList.toggle("out", !trials.has(mark.dataset.trial)));
    let left = firstRows;
    rows.forEach(row => row.classList.toggle("more", trials.has(row.dataset.trial) && left-- <= 0));
    filter.querySelector("span").textContent = `${passing.length} of ${lines.length} lines`;
    filter.hidden = ranges.every(range => range === null);
    if (chosen && !trials.has(chosen.trial)) pin(null);
  }

  function clear() {
    axes.forEach((_, axis) => setRange(axis, null));
    pin(null);
  }

  /** Return x, in distances between axes, and y of a pointer in the coordinates of the lines. */
  function placeOf(event) {
    const {e: left, f: above} = plot.getScreenCTM();
    return [(event.clientX - left) * (axes.length - 1) / inner.width.baseVal.value, event.clientY - above - top];
  }

  /** Return the y of a pointer within the axes. */
  function heightOf(event) {
    return Math.min(bottom, Math.max(0, placeOf(event)[1]));
  }

  function nearestLine(event) {
    const [x, y] = placeOf(event), width = inner.width.baseVal.value / (axes.length - 1);
    const axis = Math.min(axes.length - 2, Math.max(0, Math.floor(x)));
    let nearest = null, least = REACH;
    for (const line of passing) {
      const from = line.points[axis].y, to = line.points[axis + 1].y;
      const distance = Math.abs(from + (x - axis) * (to - from) - y) * width / Math.hypot(width, to - from);
      if (distance <= least) [nearest, least] = [line, distance];
    }
    return nearest;
  }

  plot.addEventListener("pointermove", event => {
    if (drag) {
      const y = heightOf(event);
      if (drag.hasMoved ||= Math.abs(y - drag.from) > 4) {
        setRange(drag.axis, [Math.min(y, drag.from), Math.max(y, drag.from)]);
      }
    } else if (event.pointerType === "mouse" && !isPinned) {
      choose(nearestLine(event));
    }
  });
  plot.addEventListener("pointerleave", () => isPinned || drag || choose(null));
  axes.forEach((axis, number) => {
    const grip = axis.querySelector(".grip");
    grip.addEventListener("pointerdown", event => {
      grip.setPointerCapture(event.pointerId);
      drag = {axis: number, from: heightOf(event), hasMoved: false};
    });
    grip.addEventListener("pointercancel", () => { drag = null; });
    grip.addEventListener("pointerup", event => {
      const hasMoved = drag?.hasMoved;
      drag = null;
      if (hasMoved) return;
      if (ranges[number]) setRange(number, null);
      else pin(nearestLine(event));
    });
    axis.setAttribute("tabindex", "0");
    axis.setAttribute("role", "group");
    axis.addEventListener("keydown", event => {
      const step = {ArrowUp: -STEP, ArrowDown: STEP}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      const [from, to] = ranges[number] ?? [FIRST_RANGE[0] - step, FIRST_RANGE[1] - step];
      if (event.shiftKey) setRange(number, [from, Math.min(bottom, Math.max(from + STEP, to + step))]);
      else if (from + step >= 0 && to + step <= bottom) setRange(number, [from + step, to + step]);
    });
  });
  plot.addEventListener("click", event => {
    if (!event.target.closest(".grip")) pin(nearestLine(event));
  });
  plot.setAttribute("tabindex", "0");
  plot.addEventListener("keydown", event => {
    const step = {ArrowUp: 1, ArrowDown: -1}[event.key];
    if (event.key === "Escape") clear();
    if (step === undefined || !passing.length) return;
    event.preventDefault();
    const at = passing.indexOf(chosen);
    pin(passing[at < 0 ? passing.length - 1 : Math.min(passing.length - 1, Math.max(0, at + step))]);
  });
  for (const type of ["pointerover", "click"]) {
    page.addEventListener(type, event => {
      if (plot.contains(event.target) || (type === "pointerover" && (isPinned || event.pointerType !== "mouse"))) return;
      const line = lineOf.get(event.target.closest("[data-trial]")?.dataset.trial) ?? null;
      if (type === "pointerover") choose(line);
      else if (line) pin(line);
    });
  }
  filter.querySelector("button").addEventListener("click", clear);
  about.hidden = false;
}
