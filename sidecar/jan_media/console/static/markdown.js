/**
 * A model's Markdown as elements: headings, lists, code, bold and emphasis. Everything else is text.
 * It makes elements and text nodes alone, no links and no images: whatever a model writes, nothing
 * runs and nothing is loaded.
 */
import { h } from "./dom.js";

/**
 * @param {string} text also one that has not ended yet
 * @returns {HTMLElement[]}
 */
export function markdown(text) {
  /** @type {HTMLElement[]} */
  const blocks = [];
  /** @type {HTMLElement | null} the code block that is open */
  let code = null;
  for (const line of text.split("\n")) {
    if (/^\s*```/.test(line)) {
      code = code ? null : h("pre", { class: "code", tabindex: 0 });
      if (code) blocks.push(code);
    } else if (code) {
      code.append(`${line}\n`);
    } else {
      addLine(blocks, line);
    }
  }
  return blocks;
}

/**
 * @param {HTMLElement[]} blocks
 * @param {string} line
 */
function addLine(blocks, line) {
  const heading = /^#{1,6} (.*)/.exec(line);
  const item = /^\s*(?:[-*+]|(\d{1,9})[.)]) (.*)/.exec(line);
  const last = blocks.at(-1);
  if (heading) {
    blocks.push(h("p", {}, h("strong", {}, inline(heading[1]))));
  } else if (item) {
    const tag = item[1] ? "ol" : "ul";
    const list = last?.localName === tag ? last : h(tag, item[1] ? { start: item[1] } : {});
    if (list !== last) blocks.push(list);
    list.append(h("li", {}, inline(item[2])));
  } else if (last?.localName === "p" && last.lastChild && line.trim()) {
    last.append("\n", ...inline(line));
  } else {
    blocks.push(h("p", {}, inline(line)));
  }
}

/**
 * @param {string} text
 * @returns {(HTMLElement | string)[]}
 */
function inline(text) {
  const pieces = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^\s*][^*]*\*)/);
  return pieces.map((piece, index) => {
    if (index % 2 === 0) return piece;
    if (piece.startsWith("`")) return h("code", {}, piece.slice(1, -1));
    if (piece.startsWith("**")) return h("strong", {}, piece.slice(2, -2));
    return h("em", {}, piece.slice(1, -1));
  });
}
