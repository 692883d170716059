// The part of a page on which a network classifies a drawing: the steps of `mlptrain predict` for dark ink on white
// paper, the forward pass, and what the page shows. `CONSTANTS` holds the numbers of the Python modules.
//
// An image is an object {height, width, data}, with one number per pixel, row by row.

const { MNIST_SIDE, MNIST_BOX, PAPER_INK, FULL_INK, EDGE_INK, STROKE_PIXELS, FINE_PIXELS, TIE_PIXELS } = CONSTANTS;
const { MIN_INK, MIN_MASS, MAX_GAP, SELU_SCALE, SELU_ALPHA, LEAKY_RELU_SLOPE, GELU_SCALE, GELU_CUBIC } = CONSTANTS;

const PEN = 1 / 20; // width of the pen as a share of the paper; a large digit then has strokes like those of MNIST

// ---- images ----------------------------------------------------------------------------------------------------

const newImage = (height, width, data = new Float32Array(height * width)) => ({ height, width, data });

const mapImage = ({ height, width, data }, f) => newImage(height, width, data.map(f));

/** Return the rows and columns from the first to the last pixel above `threshold`, or null if there is none. */
function crop(image, threshold) {
  let [top, left, bottom, right] = [image.height, image.width, 0, 0];
  for (let row = 0, at = 0; row < image.height; row++) {
    for (let column = 0; column < image.width; column++, at++) {
      if (image.data[at] > threshold) {
        top = Math.min(top, row);
        bottom = row + 1;
        left = Math.min(left, column);
        right = Math.max(right, column + 1);
      }
    }
  }
  return bottom ? copyInto(newImage(bottom - top, right - left), image, -top, -left) : null;
}

const pad = (image, margin) =>
  copyInto(newImage(image.height + 2 * margin, image.width + 2 * margin), image, margin, margin);

/** Copy `source` into `target`, down and to the right by the offsets; pixels outside `target` are dropped. */
function copyInto(target, source, down, right) {
  const [from, to] = [Math.max(0, -right), Math.min(source.width, target.width - right)];
  for (let row = Math.max(0, -down); row < Math.min(source.height, target.height - down); row++) {
    const line = source.data.subarray(row * source.width + from, row * source.width + to);
    target.data.set(line, (row + down) * target.width + right + from);
  }
  return target;
}

/** Return `image`, whose outermost pixels are 0, convolved with the weights 1/4, 1/2, 1/4 along both axes. */
function smooth({ height, width, data }) {
  for (const step of [width, 1]) {
    const source = data;
    data = new Float32Array(source.length);
    for (let at = step; at < data.length - step; at++) {
      data[at] = (source[at - step] + 2 * source[at] + source[at + step]) / 4;
    }
  }
  return newImage(height, width, data);
}

/** Round to the nearest integer, and halves to the even one, as Python does. */
function roundEven(x) {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 ? up - 1 : up;
}

/** Return `image` with `target` rows, transposed: interpolated linearly, or averaged if it has more rows. */
function resizeRows({ height, width, data }, target) {
  const result = newImage(width, target);
  const step = height / target;
  const reach = Math.max(1, step);
  for (let to = 0; to < target; to++) {
    const centre = (to + 0.5) * step - 0.5;
    const [first, last] = [Math.max(0, Math.ceil(centre - reach)), Math.min(height - 1, Math.floor(centre + reach))];
    let total = 0;
    for (let row = first; row <= last; row++) total += 1 - Math.abs(row - centre) / reach;
    for (let row = first; row <= last; row++) {
      const weight = (1 - Math.abs(row - centre) / reach) / total;
      for (let column = 0; column < width; column++) {
        result.data[column * target + to] += weight * data[row * width + column];
      }
    }
  }
  return result;
}

/** Return `image` with its longer side scaled to `longest` pixels. */
function fit(image, longest) {
  const scaled = (size) => Math.max(1, roundEven((size * longest) / Math.max(image.height, image.width)));
  return resizeRows(resizeRows(image, scaled(image.height)), scaled(image.width));
}

// ---- from a drawing to the input of the network ----------------------------------------------------------------

/** Return the digit in `ink`, values in [0, 1], as an image of `side` x `side` pixels, or null if there is no ink. */
function findDigit(ink, side) {
  const cropped = crop(ink, 0);
  return cropped && frameDigit(thickenStrokes(cutOut(smooth(pad(cropped, 2)))), side);
}

/** Return the ink of the largest mark and of those near it, cropped. */
function cutOut(ink) {
  const { labels, marks } = findMarks(ink);
  const main = marks.reduce((largest, mark) => (mark.mass > largest.mass ? mark : largest));
  const maxGap = MAX_GAP * Math.max(main.bottom - main.top, main.right - main.left);
  const isChosen = marks.map((mark) => {
    const across = Math.max(main.left - mark.right, mark.left - main.right);
    const gap = Math.max(main.top - mark.bottom, mark.top - main.bottom, across);
    return mark.mass >= MIN_MASS * main.mass && gap <= maxGap;
  });
  isChosen.unshift(false); // paper has the label 0
  const result = newImage(ink.height, ink.width);
  for (let at = 0; at < labels.length; at++) {
    const value = (ink.data[at] - PAPER_INK) / (FULL_INK - PAPER_INK);
    if (isChosen[labels[at]]) result.data[at] = Math.min(1, value);
  }
  return crop(result, EDGE_INK);
}

/**
 * Number the connected marks of `ink`, whose outermost pixels are 0, from 1, and return their masses and bounds. The
 * faint pixels next to a mark have its number, but connect nothing.
 */
function findMarks({ height, width, data }) {
  const labels = new Int32Array(data.length);
  const marks = [];
  const neighbours = [-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1];
  for (let start = 0; start < data.length; start++) {
    if (labels[start] || data[start] <= MIN_INK) continue;
    const mark = { mass: 0, top: height, left: width, bottom: 0, right: 0 };
    marks.push(mark);
    labels[start] = marks.length;
    for (const stack = [start]; stack.length; ) {
      const at = stack.pop();
      const [row, column] = [Math.floor(at / width), at % width];
      mark.mass += data[at];
      mark.top = Math.min(mark.top, row);
      mark.left = Math.min(mark.left, column);
      mark.bottom = Math.max(mark.bottom, row + 1);
      mark.right = Math.max(mark.right, column + 1);
      for (const offset of neighbours) {
        if (labels[at + offset] || data[at + offset] <= PAPER_INK) continue;
        labels[at + offset] = marks.length;
        if (data[at + offset] > MIN_INK) stack.push(at + offset);
      }
    }
  }
  return { labels, marks };
}

/** Return `ink` with strokes as wide as those of MNIST if they are thinner. */
function thickenStrokes(ink) {
  let fine = pad(fit(ink, FINE_PIXELS), FINE_PIXELS / 8);
  const steps = roundEven(((STROKE_PIXELS * FINE_PIXELS) / MNIST_BOX - strokeWidth(fine)) / 2);
  if (steps < 1) return ink;
  for (let step = 0; step < Math.min(steps, FINE_PIXELS / 8); step++) {
    fine = spread(fine, step % 2 === 1); // four and eight neighbours in turn, which approximates a disc
  }
  return crop(fine, EDGE_INK);
}

/** Return the mean width of the strokes: twice their area divided by the length of their outline. */
function strokeWidth({ width, data }) {
  let [area, outline] = [0, 0];
  for (let at = 0; at < data.length; at++) {
    const inside = data[at] > 0.5;
    area += inside;
    outline += (inside !== data[at + 1] > 0.5) + (inside !== data[at + width] > 0.5);
  }
  return (2 * area) / Math.max(1, (outline * Math.PI) / 4);
}

/** Return the maximum of each pixel and its four neighbours, or eight neighbours if `diagonal`. */
function spread(image, diagonal) {
  const w = image.width;
  const offsets = diagonal ? [-w - 1, -w, -w + 1, -1, 1, w - 1, w, w + 1] : [-w, -1, 1, w];
  return mapImage(image, (value, at, data) => {
    let most = value;
    for (const offset of offsets) if (data[at + offset] > most) most = data[at + offset];
    return most;
  });
}

/** Return `ink` scaled to the box of MNIST, with its centre of mass in the centre of `side` x `side` pixels. */
function frameDigit(ink, side) {
  const digit = fit(ink, Math.max(1, roundEven((side * MNIST_BOX) / MNIST_SIDE)));
  const largest = digit.data.reduce((most, value) => Math.max(most, value));
  const rows = new Float64Array(digit.height);
  const columns = new Float64Array(digit.width);
  digit.data.forEach((value, at) => {
    rows[Math.floor(at / digit.width)] += value;
    columns[at % digit.width] += value;
  });
  const scaled = mapImage(digit, (value) => value / largest);
  return copyInto(newImage(side, side), scaled, offset(rows, side), offset(columns, side));
}

/** Return the offset along one axis that moves the centre of `mass` to the centre of `side` pixels. */
function offset(mass, side) {
  const middle = ((MNIST_SIDE / 2 + 0.5) * side) / MNIST_SIDE - 0.5;
  const moment = mass.reduce((sum, value, at) => sum + value * at, 0);
  const centre = moment / mass.reduce((sum, value) => sum + value, 0);
  return Math.max(0, Math.min(side - mass.length, Math.round(middle - centre - TIE_PIXELS)));
}

// ---- the network -----------------------------------------------------------------------------------------------

const logistic = (z) => 1 / (1 + Math.exp(-z));

const ACTIVATIONS = {
  sigmoid: logistic,
  tanh: Math.tanh,
  relu: (z) => Math.max(z, 0),
  leaky_relu: (z) => Math.max(z, LEAKY_RELU_SLOPE * z),
  elu: (z) => (z > 0 ? z : Math.expm1(z)),
  selu: (z) => SELU_SCALE * (z > 0 ? z : SELU_ALPHA * Math.expm1(z)),
  gelu: (z) => 0.5 * z * (1 + Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z ** 3))),
  silu: (z) => z * logistic(z),
  softplus: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
  linear: (z) => z,
};

const OUTPUTS = {
  softmax: (z) => {
    const largest = Math.max(...z);
    const powers = z.map((value) => Math.exp(value - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  },
  sigmoid: (z) => z.map(logistic),
  linear: (z) => z,
};

/** Return `model` with the list `layers` in place of its parameters: float32 in base64, W1, b1, W2, b2, ... */
function decodeModel(model) {
  const bytes = Uint8Array.from(atob(model.parameters), (character) => character.charCodeAt(0));
  const numbers = new Float32Array(bytes.buffer);
  let start = 0;
  const take = (count) => numbers.subarray(start, (start += count));
  const layers = model.sizes.slice(1).map((units, index) => {
    return { weights: take(units * model.sizes[index]), biases: take(units) };
  });
  return { ...model, layers };
}

/** Return the activations of each layer, the outputs last, for `pixels` in [0, 1]. */
function forward(model, pixels) {
  let a = pixels;
  return model.layers.map(({ weights, biases }, index) => {
    const z = Float64Array.from(biases, (bias, unit) => {
      let sum = bias;
      for (let i = 0, at = unit * a.length; i < a.length; i++, at++) sum += weights[at] * a[i];
      return sum;
    });
    const isLast = index === model.layers.length - 1;
    a = isLast ? OUTPUTS[model.output](z) : z.map(ACTIVATIONS[model.activation]);
    return a;
  });
}

// ---- the page --------------------------------------------------------------------------------------------------

/** Make the section `root` work. */
function tryIt(root) {
  const find = (name) => root.querySelector(`.${name}`);
  const model = decodeModel(JSON.parse(find("model").textContent));
  const side = Math.sqrt(model.sizes[0]);
  const paper = find("paper").querySelector("canvas");
  const context = paper.getContext("2d", { willReadFrequently: true });
  const showOutputs = outputTable(find("outputs"), find("answer"), model);
  const layers = model.shown.map((units, index) => layerView(find("layers"), model, index, units));
  let isScheduled = false;

  function classify() {
    isScheduled = false;
    const { data, width, height } = context.getImageData(0, 0, paper.width, paper.height);
    const ink = newImage(height, width);
    for (let at = 0; at < ink.data.length; at++) ink.data[at] = 1 - data[4 * at] / 255;
    const digit = findDigit(ink, side);
    const activations = digit && forward(model, digit.data);
    find("paper").classList.toggle("empty", !digit);
    showPixels(find("seen").querySelector("canvas"), digit ?? newImage(side, side), (value) => {
      const level = Math.round(255 * value);
      return [level, level, level];
    });
    showOutputs(activations?.at(-1));
    layers.forEach((show, index) => show(activations?.[index]));
  }

  /** Classify before the next frame, once for all movements since the last one. */
  function schedule() {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(classify);
  }

  function clear() {
    context.fillStyle = "white";
    context.fillRect(0, 0, paper.width, paper.height);
    schedule();
  }

  listenToPen(paper, context, schedule);
  find("clear").addEventListener("click", clear);
  document.addEventListener("keydown", (event) => event.key === "Escape" && clear());
  new ResizeObserver(schedule).observe(root);
  clear();
}

/** Draw what the mouse, the first finger or the pen draws, and call `changed` after each movement. */
function listenToPen(paper, context, changed) {
  const width = PEN * paper.width;
  let pen = null; // its id and position while it draws

  function moveTo(event) {
    const box = paper.getBoundingClientRect();
    // The ink stays off the edges, because `predict` looks there for frames and for the edge of the sheet.
    const inside = (share) => Math.min(paper.width - width, Math.max(width, share * paper.width));
    const x = inside((event.clientX - box.left) / box.width);
    const y = inside((event.clientY - box.top) / box.height);
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(pen.x ?? x, pen.y ?? y);
    context.lineTo(x + 0.01, y); // a line of length 0 would leave no dot
    context.stroke();
    Object.assign(pen, { x, y });
  }

  paper.addEventListener("pointerdown", (event) => {
    if (pen || event.button !== 0) return;
    pen = { id: event.pointerId };
    paper.setPointerCapture(event.pointerId);
    moveTo(event);
    changed();
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen?.id) return;
    const events = event.getCoalescedEvents?.() ?? [];
    (events.length ? events : [event]).forEach(moveTo);
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    paper.addEventListener(end, (event) => {
      if (event.pointerId === pen?.id) pen = null;
    });
  }
}

/** Fill a canvas with the pixels of an image in the colours of `colorOf`. */
function showPixels(canvas, { height, width, data }, colorOf) {
  [canvas.width, canvas.height] = [width, height];
  const pixels = new ImageData(width, height);
  data.forEach((value, at) => pixels.data.set([...colorOf(value), 255], 4 * at));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const append = (parent, tag, properties) => parent.appendChild(Object.assign(document.createElement(tag), properties));

/** Fill `table` with a row per class; return a function that shows the outputs, or none. */
function outputTable(table, answer, model) {
  const rows = model.class_names.map((name) => {
    const row = append(table, "tr", {});
    append(row, "th", { textContent: name, scope: "row" });
    const bar = append(append(row, "td", { className: "bar" }), "div", {});
    return { row, bar, value: append(row, "td", { className: "value" }) };
  });
  return (outputs) => {
    const areFinite = outputs?.every(Number.isFinite) ?? false;
    const best = areFinite ? outputs.indexOf(Math.max(...outputs)) : -1;
    const label = outputs && !areFinite ? "The weights are too large" : (model.class_names[best] ?? "?");
    const [shown, share] = answer.children;
    if (shown.textContent !== label) shown.textContent = label; // a screen reader announces each change
    share.textContent = areFinite ? `${(100 * outputs[best]).toFixed(1)}%` : "";
    rows.forEach(({ row, bar, value }, index) => {
      row.classList.toggle("best", index === best);
      bar.style.width = `${areFinite ? 100 * Math.min(1, Math.max(0, outputs[index])) : 0}%`;
      value.textContent = areFinite ? outputs[index].toFixed(3) : "–";
    });
  };
}

const CIVIDIS = [[0, 34, 78], [65, 77, 107], [124, 123, 120], [187, 175, 113], [254, 232, 56]];

/** Return the colour of a weight in [-1, 1] on a scale whose lightness increases evenly. */
function heat(value) {
  const at = ((value + 1) / 2) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  return CIVIDIS[low].map((level, channel) => level + (at - low) * (CIVIDIS[low + 1][channel] - level));
}

const [LIT, MARGIN] = ["#7cc4f0", 10]; // the colour of an activation, and the margin around the units of a layer

/** Add a layer to the page: a cell for each of `units`, in the first layer with its weights as an image. */
function layerView(parent, model, index, units) {
  const { weights, biases } = model.layers[index];
  const [inputs, isOutput] = [model.sizes[index], index === model.layers.length - 1];
  const images = index ? null : units.map((unit) => weightImage(weights.subarray(unit * inputs, (unit + 1) * inputs)));
  const count = units.length < biases.length ? `the ${units.length} most influential of ${biases.length}` : units.length;
  const title = isOutput ? "Output layer" : `Hidden layer ${index + 1}`;
  const text = images
    ? "The weights from the pixels, from negative (dark) to positive (bright), and the activation as a bar."
    : "The area of each square is the activation.";
  const f = isOutput ? (z) => OUTPUTS[model.output]([z])[0] : ACTIVATIONS[model.activation];
  const about = f(-1) < 0 ? `${text} A hollow one is negative.` : text;
  const figure = append(parent, "figure", {});
  append(figure, "h3", { textContent: `${title}: ${count} ${isOutput ? model.output : model.activation} units` });
  const caption = append(figure, "figcaption", {});
  const canvas = append(figure, "canvas", { role: "img", ariaLabel: `Activations of ${title.toLowerCase()}` });
  const context = canvas.getContext("2d");
  const [minCell, maxCell, gap, bar] = images ? [36, 72, 8, 7] : [18, 26, 6, 0]; // CSS pixels, as all lengths here
  let [columns, cell, pointed, shown] = [1, minCell, -1, null];

  function show(activations) {
    shown = activations;
    const [width, ratio] = [parent.clientWidth, devicePixelRatio];
    const most = Math.max(1, Math.floor((width - 2 * MARGIN + gap) / (minCell + gap)));
    const rows = Math.ceil(units.length / most);
    columns = Math.ceil(units.length / rows);
    cell = Math.min(maxCell, Math.floor((width - 2 * MARGIN + gap) / columns) - gap);
    canvas.width = width * ratio;
    canvas.height = (2 * MARGIN + rows * (cell + bar + gap) - gap) * ratio;
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    context.fillStyle = context.strokeStyle = LIT;
    const largest = units.reduce((most, unit) => Math.max(most, Math.abs(activations?.[unit] ?? 0)), Number.MIN_VALUE);
    units.forEach((unit, at) => {
      const x = MARGIN + (at % columns) * (cell + gap);
      const y = MARGIN + Math.floor(at / columns) * (cell + bar + gap);
      const a = activations?.[unit] ?? 0;
      const level = Math.abs(a) / largest;
      if (images) {
        context.globalAlpha = 0.3 + 0.7 * level;
        context.drawImage(images[at], x, y, cell, cell);
        context.globalAlpha = 1;
        drawLevel(context, x, y + cell + 2, cell * level, bar - 2, a < 0);
      } else {
        const inset = (cell * (1 - Math.sqrt(level))) / 2;
        context.globalAlpha = 0.15;
        context.fillRect(x, y, cell, cell);
        context.globalAlpha = 1;
        drawLevel(context, x + inset, y + inset, cell - 2 * inset, cell - 2 * inset, a < 0);
      }
    });
    describe();
  }

  function describe() {
    const [unit, a] = [units[pointed], shown?.[units[pointed]]];
    caption.textContent = unit === undefined ? about : `Unit ${unit + 1}: ${a?.toFixed(3) ?? "no activation"}`;
  }

  canvas.addEventListener("pointermove", (event) => {
    const column = Math.floor((event.offsetX - MARGIN) / (cell + gap));
    pointed = column < columns ? Math.floor((event.offsetY - MARGIN) / (cell + bar + gap)) * columns + column : -1;
    describe();
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = -1;
    describe();
  });
  return show;
}

/** Return a canvas with the weights of a unit from the pixels, on a scale of their own around 0. */
function weightImage(weights) {
  const largest = weights.reduce((most, weight) => Math.max(most, Math.abs(weight)), Number.MIN_VALUE);
  const side = Math.sqrt(weights.length);
  const canvas = document.createElement("canvas");
  showPixels(canvas, newImage(side, side, weights.map((weight) => weight / largest)), heat);
  return canvas;
}

/** Draw a rectangle, hollow for a negative activation. */
function drawLevel(context, x, y, width, height, isNegative) {
  if (!isNegative) context.fillRect(x, y, width, height);
  else context.strokeRect(x + 0.5, y + 0.5, Math.max(0, width - 1), Math.max(0, height - 1));
}
