// What a reader would see as faults of the layout of a page, as texts: `layoutProblems(window)`.

const GRID = 10, BLANK = [200, 400], SLACK = 1.5;  // pixels

function layoutProblems(view) {
  const page = view.document, main = page.querySelector("main");
  const rects = visibleTexts(view, main);
  return [
    ...(page.documentElement.scrollWidth > view.innerWidth
      ? [`the page is ${page.documentElement.scrollWidth} px wide`] : []),
    ...wideElements(view, main),
    ...cutTexts(main),
    ...overlaps(rects),
    ...blankAreas(view, main, rects),
  ];
}

/** The boxes of visible text: lines of HTML, and elements <text> of SVG that are not rotated by odd angles. */
function visibleTexts(view, main) {
  const found = [], walker = view.document.createTreeWalker(main, view.NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement, text = node.textContent.trim();
    if (!text || parent.closest("svg, script, style") || !parent.checkVisibility()) continue;
    const range = view.document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const rect = clipped(view, box, parent);
      if (rect.width > 1 && rect.height > 1) found.push({rect, text, owner: parent});
    }
  }
  for (const text of main.querySelectorAll("svg text")) {
    const {a, b} = text.getScreenCTM();
    if (Math.abs(a) > 1e-3 && Math.abs(b) > 1e-3) continue;
    found.push({rect: text.getBoundingClientRect(), text: text.textContent, owner: text});
  }
  return found;
}

/** The part of a box that boxes with scroll bars or hidden overflow show. */
function clipped(view, box, element) {
  let {left, top, right, bottom} = box;
  for (let at = element; at; at = at.parentElement) {
    if (view.getComputedStyle(at).overflowX === "visible") continue;
    const outer = at.getBoundingClientRect();
    left = Math.max(left, outer.left);
    right = Math.min(right, outer.right);
    top = Math.max(top, outer.top);
    bottom = Math.min(bottom, outer.bottom);
  }
  return new DOMRect(left, top, right - left, bottom - top);
}

function wideElements(view, main) {
  const found = [];
  for (const element of main.querySelectorAll("*:not(svg *)")) {
    const outer = element.parentElement, rect = element.getBoundingClientRect(), box = outer.getBoundingClientRect();
    if (rect.width === 0 || view.getComputedStyle(outer).overflowX !== "visible") continue;
    if (rect.right > box.right + SLACK || rect.left < box.left - SLACK) {
      found.push(`<${element.localName} class="${element.getAttribute("class") ?? ""}"> is wider than its container`);
    }
  }
  return found;
}

function cutTexts(main) {
  return [...main.querySelectorAll("svg text")].filter(text => {
    const rect = text.getBoundingClientRect(), box = text.closest("svg").getBoundingClientRect();
    return rect.left < box.left - SLACK || rect.right > box.right + SLACK
      || rect.top < box.top - rect.height / 4 || rect.bottom > box.bottom + rect.height / 4;
  }).map(text => `${JSON.stringify(text.textContent)} is cut off by the edge of its plot`);
}

/** Pairs of texts whose boxes overlap, without the space above and below the letters. */
function overlaps(texts) {
  const inner = texts.map(({rect}) => ({
    left: rect.left + SLACK, right: rect.right - SLACK,
    top: rect.top + 0.2 * rect.height, bottom: rect.bottom - 0.2 * rect.height,
  }));
  const found = [];
  for (let i = 0; i < inner.length; i++) {
    for (let j = 0; j < i; j++) {
      const a = inner[i], b = inner[j];
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
          && texts[i].owner !== texts[j].owner) {
        found.push(`${JSON.stringify(texts[i].text)} overlaps ${JSON.stringify(texts[j].text)}`);
      }
    }
  }
  return found;
}

/** Empty rectangles of BLANK pixels, upright or lying, within the content; one per heading. */
function blankAreas(view, main, texts) {
  const style = view.getComputedStyle(main), outer = main.getBoundingClientRect();
  const left = outer.left + parseFloat(style.paddingLeft), top = outer.top + parseFloat(style.paddingTop);
  const columns = Math.floor((outer.right - parseFloat(style.paddingRight) - left) / GRID);
  const rows = Math.floor((outer.bottom - parseFloat(style.paddingBottom) - top) / GRID);
  const filled = Array.from({length: rows + 1}, () => new Int32Array(columns + 1));
  const fill = rect => {
    const right = Math.min(columns, Math.ceil((rect.right - left) / GRID));
    const bottom = Math.min(rows, Math.ceil((rect.bottom - top) / GRID));
    for (let y = Math.max(0, Math.floor((rect.top - top) / GRID)); y < bottom; y++) {
      for (let x = Math.max(0, Math.floor((rect.left - left) / GRID)); x < right; x++) filled[y + 1][x + 1] = 1;
    }
  };
  texts.forEach(({rect}) => fill(rect));
  for (const element of main.querySelectorAll("*:not(svg *)")) {
    const look = view.getComputedStyle(element), rect = element.getBoundingClientRect();
    if (/^(svg|img|canvas|button)$/.test(element.localName) || look.backgroundColor !== "rgba(0, 0, 0, 0)"
        || look.backgroundImage !== "none" || parseFloat(look.borderLeftWidth) > 0) {
      fill(rect);
    } else if (parseFloat(look.borderBottomWidth) > 0) {  // a line, as below headings and rows
      fill(new DOMRect(rect.left, rect.bottom - 1, rect.width, 1));
    }
  }
  for (let y = 1; y <= rows; y++) {
    for (let x = 1; x <= columns; x++) filled[y][x] += filled[y - 1][x] + filled[y][x - 1] - filled[y - 1][x - 1];
  }
  const headings = [...main.querySelectorAll("h1, h2, h3")], found = new Set();
  for (const [width, height] of [BLANK, [...BLANK].reverse()].map(size => size.map(side => side / GRID))) {
    for (let y = height; y <= rows; y++) {
      for (let x = width; x <= columns; x++) {
        if (filled[y][x] - filled[y - height][x] - filled[y][x - width] + filled[y - height][x - width]) continue;
        const above = headings.filter(heading => heading.getBoundingClientRect().top <= top + (y - height) * GRID);
        found.add(`below ${JSON.stringify(above.at(-1)?.textContent ?? "the top")}`
          + ` is a blank area of ${width * GRID} by ${height * GRID} px`);
        break;
      }
    }
  }
  return [...found];
}
