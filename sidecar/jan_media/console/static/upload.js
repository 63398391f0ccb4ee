/** Adding pictures: by drop, paste, choice, camera and address; a line with its progress for each. */
import { button, bytes, h } from "./dom.js";
import { ApiError } from "./gateway.js";
import { texts } from "./texts.js";

const words = texts.upload;
const AT_ONCE = 3;

/**
 * @typedef {(signal: AbortSignal, onprogress: (share: number) => void) =>
 *   Promise<import("./gateway.js").Picture>} Send
 */

export class Uploads {
  /** @type {(() => Promise<void>)[]} */
  #waiting = [];
  #running = 0;
  #list = h("ul", { class: "tasks", "aria-label": words.tasks });

  /**
   * @param {import("./gateway.js").Gateway} gateway
   * @param {import("./session.js").Config} config
   * @param {(picture: import("./gateway.js").Picture) => void} onstored
   */
  constructor(gateway, config, onstored) {
    this.gateway = gateway;
    this.config = config;
    this.onstored = onstored;
    this.element = this.#form();
    this.#listen();
  }

  #form() {
    const files = this.#chooser({ multiple: true, accept: accepted(this.config.types) });
    const camera = this.#chooser({ capture: "environment", accept: "image/*" });
    const address = h("input", {
      type: "url",
      placeholder: words.urlPlaceholder,
      "aria-label": words.url,
    });
    const fetchIt = (/** @type {Event} */ event) => {
      event.preventDefault();
      const url = URL.parse?.(address.value.trim()) ?? parse(address.value.trim());
      const usable = url && ["http:", "https:"].includes(url.protocol);
      address.setCustomValidity(usable ? "" : words.urlWrong);
      if (!address.reportValidity() || !url) return;
      this.#task(url.href, (signal) => this.gateway.fetchFrom(url.href, signal), words.fetching);
      address.value = "";
    };
    return h(
      "section",
      { class: "card", "aria-labelledby": "upload-title" },
      h("h2", { id: "upload-title" }, words.title),
      h(
        "div",
        { class: "drop" },
        h("p", { class: "big" }, words.drop),
        h("p", { class: "hint" }, words.dropHint),
        button(words.choose, () => files.click(), { class: "primary" }),
        button(words.camera, () => camera.click(), { class: "camera" }),
        files,
        camera,
      ),
      h(
        "form",
        { class: "row", onsubmit: fetchIt, novalidate: true },
        address,
        h("button", { type: "submit" }, words.urlButton),
      ),
      this.#list,
    );
  }

  /**
   * What opens the browser's own way to choose files, for a button to click.
   * @param {Record<string, unknown>} attributes
   */
  #chooser(attributes) {
    const input = h("input", {
      type: "file",
      hidden: true,
      onchange: () => {
        this.add([...(input.files ?? [])]);
        input.value = "";
      },
      ...attributes,
    });
    return input;
  }

  #listen() {
    const over = (/** @type {boolean} */ is) => document.body.classList.toggle("dragging", is);
    addEventListener("dragover", (event) => {
      event.preventDefault(); // else the browser opens the file in the page's place
      over(Boolean(event.dataTransfer?.types.includes("Files")));
    });
    addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
    addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      this.add([...(event.dataTransfer?.files ?? [])]);
    });
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) event.preventDefault();
      this.add(files);
    });
  }

  /** @param {File[]} files */
  add(files) {
    for (const file of files) {
      this.#task(file.name || file.type, async (signal, onprogress) => {
        const most = this.config.max_bytes;
        if (!file.size) throw new ApiError(400, { message: words.empty });
        if (file.size > most) {
          throw new ApiError(413, { message: words.tooLarge(bytes(file.size), bytes(most)) });
        }
        return this.gateway.upload(file, signal, onprogress);
      });
    }
  }

  /**
   * A line for one upload.
   * @param {string} name
   * @param {Send} send
   * @param {string} [meanwhile] what to say where no progress is known
   */
  #task(name, send, meanwhile = "") {
    const says = h("span", { class: "says" });
    const bar = h("progress", { max: 1, "aria-label": name });
    const buttons = h("span", { class: "buttons" });
    const line = h("li", {}, h("span", { class: "name", title: name }, name), bar, says, buttons);
    this.#list.prepend(line);
    let stopped = new AbortController();
    const dismiss = () => button(words.dismiss, () => line.remove(), { icon: "✕", class: "quiet" });
    const end = (/** @type {string} */ state, /** @type {string} */ said) => {
      bar.remove();
      line.className = state;
      says.textContent = said;
    };
    const run = async () => {
      if (stopped.signal.aborted) return;
      says.textContent = meanwhile;
      try {
        const picture = await send(stopped.signal, (share) => {
          bar.value = share;
          says.textContent = share < 1 ? words.progress(percent(share)) : words.checking;
        });
        end("done", picture.deduped ? words.known : words.done);
        buttons.replaceChildren(dismiss());
        this.onstored(picture);
      } catch (problem) {
        if (!stopped.signal.aborted) end("failed", /** @type {Error} */ (problem).message);
        if (!stopped.signal.aborted) buttons.replaceChildren(button(words.retry, begin), dismiss());
      }
    };
    const cancel = () => {
      stopped.abort();
      end("failed", words.canceled);
      buttons.replaceChildren(button(words.retry, begin), dismiss());
    };
    const begin = () => {
      stopped = new AbortController();
      line.className = "";
      line.insertBefore(bar, says);
      bar.removeAttribute("value");
      says.textContent = words.waiting;
      buttons.replaceChildren(button(words.cancel, cancel));
      this.#waiting.push(run);
      this.#next();
    };
    begin();
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) {
      this.#running++;
      const run = /** @type {() => Promise<void>} */ (this.#waiting.shift());
      run().finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }
}

/**
 * What to offer for choice. Browsers know the photos of iPhones by the ends of their names alone.
 * @param {string} types what the gateway takes, as a comma list
 */
function accepted(types) {
  return /image\/(\*|hei[cf])/.test(types) ? `${types},.heic,.heif` : types;
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** @param {string} text */
function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
