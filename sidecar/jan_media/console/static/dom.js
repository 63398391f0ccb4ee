/** Making elements, telling people things, and writing numbers as people read them. */
import { texts } from "./texts.js";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element. An attribute whose name begins with `on` is a listener; true and false switch
 * an attribute on and off. Children are nodes or text: text never becomes markup.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...nodes(children));
  return element;
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((child) => child != null && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * A button.
 * @param {string} label what it says, or, if there is an icon, what it is called
 * @param {(event: MouseEvent) => void} onclick
 * @param {Record<string, any>} [attributes] `icon` shows a sign in the label's place
 */
export function button(label, onclick, { icon = "", ...attributes } = {}) {
  const named = icon ? { "aria-label": label, title: label } : {};
  return h("button", { type: "button", onclick, ...named, ...attributes }, icon || label);
}

/**
 * Say something at the edge of the page, for a while.
 * @param {string} text
 * @param {{action?: {label: string, run: () => void}, seconds?: number}} [options]
 * @returns {() => void} takes it away
 */
export function notify(text, { action, seconds = 5 } = {}) {
  const notice = h("div", { class: "notice" }, h("span", {}, text));
  const close = () => notice.remove();
  if (action) {
    notice.append(button(action.label, () => (close(), action.run()), { class: "link" }));
  }
  // A notice above an open dialog must be in it: all else is inert and below.
  const dialog = document.querySelector("dialog[open]");
  (dialog ?? /** @type {HTMLElement} */ (document.getElementById("notices"))).append(notice);
  setTimeout(close, seconds * 1000);
  return close;
}

/**
 * Put text on the clipboard, and say so.
 * @param {string} text
 * @param {string} [said]
 */
export async function copy(text, said = texts.copied) {
  try {
    await navigator.clipboard.writeText(text);
    notify(said, { seconds: 3 });
  } catch {
    // Browsers have no clipboard for pages that came without https.
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    notify(done ? said : texts.copyFailed);
  }
}

/**
 * @param {number} count
 * @returns {string} as in `2.4 MiB`
 */
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(count) / 10), units.length);
  const amount = count / 1024 ** power;
  return `${amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${units[power - 1]}`;
}

/**
 * @param {string} iso
 * @returns {string} as people of the reader's country write a date
 */
export function date(iso) {
  return new Date(iso).toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** A name that nobody else chooses; also where the page came without https. */
export function uniqueName() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
