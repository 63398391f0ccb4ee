/** One's own pictures: a grid, and a dialog for each. */
import { button, bytes, copy, date, h, notify } from "./dom.js";
import { codeChooser } from "./snippets.js";
import { texts } from "./texts.js";

/** @typedef {import("./gateway.js").Picture} Picture */

const words = texts.library;
const UNDO_SECONDS = 6;
const DAY = 86_400_000;

export class Library {
  /** @type {Map<string, {picture: Picture, card: HTMLElement}>} */
  #shown = new Map();
  /** @type {Map<string, () => void>} deletions that may still be undone, and how to do them now */
  #leaving = new Map();
  /** @type {string | null} */
  #next = null;
  #loads = 0;

  /**
   * @param {import("./gateway.js").Gateway} gateway
   * @param {import("./session.js").Config} config
   * @param {(picture: Picture) => void} onask
   */
  constructor(gateway, config, onask) {
    this.gateway = gateway;
    this.config = config;
    this.onask = onask;
    this.grid = h("ul", { class: "grid" });
    this.note = h("p", { class: "hint", role: "status" });
    this.more = button(words.more, () => this.#load(), { hidden: true });
    this.used = h("span", { class: "hint" });
    this.meter = h("meter", { min: 0, max: 1, "aria-label": words.title, hidden: true });
    this.filter = h("input", {
      type: "search",
      placeholder: words.filter,
      "aria-label": words.filter,
      oninput: () => this.#show(),
    });
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "library-title" },
      h(
        "div",
        { class: "row spread" },
        h("h2", { id: "library-title" }, words.title),
        h("span", { class: "usage" }, this.used, this.meter),
      ),
      this.filter,
      this.grid,
      this.note,
      this.more,
    );
    this.thumbnails = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) this.#thumbnail(/** @type {HTMLImageElement} */ (target));
      }
    });
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.#load()).observe(this.more);
    addEventListener("pagehide", () => this.flush());
  }

  /** Begin again with the newest. */
  reload() {
    this.#shown.clear();
    this.grid.replaceChildren();
    this.#next = null;
    this.#loads++;
    this.#load();
  }

  async #load() {
    const load = ++this.#loads;
    this.more.hidden = true;
    this.note.textContent = words.loading;
    try {
      const page = await this.gateway.page(this.#next);
      if (load !== this.#loads) return;
      for (const picture of page.media) {
        if (!this.#shown.has(picture.id)) this.grid.append(this.#card(picture));
      }
      this.#next = page.next;
      this.more.textContent = words.more;
      this.more.hidden = !page.next;
      this.#show();
    } catch (problem) {
      if (load !== this.#loads) return;
      this.note.textContent = /** @type {Error} */ (problem).message;
      this.more.textContent = words.reload;
      this.more.hidden = false;
    }
    this.#usage();
  }

  /**
   * Show a picture that was stored just now.
   * @param {Picture} picture
   */
  add(picture) {
    this.#leaving.delete(picture.id);
    const known = this.#shown.get(picture.id);
    if (known) known.card.hidden = false;
    const shown = { created_at: new Date().toISOString(), ...picture };
    this.grid.prepend(known?.card ?? this.#card(shown));
    this.#show();
    this.#usage();
  }

  async #usage() {
    const usage = await this.gateway.usage();
    if (!usage) return;
    const most = usage.quota_bytes;
    const kept = bytes(usage.bytes);
    const amount = most ? words.used(kept, bytes(most)) : words.usedUnlimited(kept);
    this.used.textContent = `${amount} · ${words.files(usage.files, usage.quota_files)}`;
    this.meter.hidden = !most;
    this.meter.value = most ? usage.bytes / most : 0;
  }

  #show() {
    const wanted = this.filter.value.trim().toLowerCase();
    let seen = 0;
    for (const { picture, card } of this.#shown.values()) {
      const fits = `${picture.id} ${picture.mime}`.toLowerCase().includes(wanted);
      card.hidden = !fits || this.#leaving.has(picture.id);
      if (!card.hidden) seen++;
    }
    this.note.textContent = seen || this.#next ? "" : wanted ? words.noMatch : words.empty;
  }

  /** @param {Picture} picture */
  #card(picture) {
    const image = h("img", { alt: "", "data-id": picture.id });
    this.thumbnails.observe(image);
    const id = picture.id;
    const label = words.open(id);
    const open = h("button", { type: "button", class: "thumb", "aria-label": label }, image);
    open.addEventListener("click", () => this.#open(picture));
    const card = h(
      "li",
      {},
      open,
      h("code", { class: "id", title: id }, id),
      h("span", { class: "hint" }, `${picture.mime.split("/")[1]} · ${bytes(picture.bytes)}`),
      h(
        "span",
        { class: "buttons" },
        button(words.copyId, () => copy(id), { class: "quiet" }),
        button(words.ask, () => this.onask(picture), { class: "quiet" }),
        button(texts.picture.delete, () => this.#delete(picture), { icon: "✕", class: "quiet" }),
      ),
    );
    this.#shown.set(id, { picture, card });
    return card;
  }

  /** @param {HTMLImageElement} image */
  async #thumbnail(image) {
    this.thumbnails.unobserve(image);
    const shown = this.#shown.get(image.dataset.id ?? "");
    if (!shown) return;
    image.onerror = () => image.replaceWith(h("span", { class: "hint" }, words.noPreview));
    image.onload = () => image.src.startsWith("blob:") && URL.revokeObjectURL(image.src);
    try {
      image.src = await this.gateway.thumbnail(shown.picture);
    } catch {
      image.onerror(new Event("error"));
    }
  }

  /**
   * Delete a picture, unless people think again within some seconds.
   * @param {Picture} picture
   */
  #delete(picture) {
    const { id } = picture;
    const now = async () => {
      if (!this.#leaving.delete(id)) return;
      clearTimeout(timer);
      try {
        await this.gateway.delete(id);
        this.#shown.get(id)?.card.remove();
        this.#shown.delete(id);
        this.#show();
      } catch (problem) {
        this.#show();
        notify(texts.picture.deleteFailed(/** @type {Error} */ (problem).message));
      }
      this.#usage();
    };
    const timer = setTimeout(now, UNDO_SECONDS * 1000);
    this.#leaving.set(id, now);
    this.#show();
    const run = () => {
      clearTimeout(timer);
      this.#leaving.delete(id);
      this.#show();
    };
    notify(texts.picture.deleted, {
      action: { label: texts.picture.undo, run },
      seconds: UNDO_SECONDS,
    });
  }

  /** Do now what waits for an undo. */
  flush() {
    for (const now of this.#leaving.values()) now();
  }

  /** @param {Picture} picture */
  async #open(picture) {
    const { id } = picture;
    const image = h("img", { alt: words.open(id) });
    const dimensions = h("dd", {}, "…");
    image.onload = () => (dimensions.textContent = `${image.naturalWidth} × ${image.naturalHeight}`);
    const full = h("a", { target: "_blank", rel: "noreferrer", class: "button" }, texts.picture.full);
    const facts = /** @type {[string, string | Node][]} */ ([
      [texts.picture.id, id],
      [texts.picture.type, picture.mime],
      [texts.picture.size, bytes(picture.bytes)],
      [texts.picture.stored, date(picture.created_at ?? "")],
      [texts.picture.left, this.#left(picture)],
    ]);
    const link = async () => {
      const { presigned_url, expires_at } = await this.gateway.info(id);
      const time = new Date(expires_at).toLocaleTimeString();
      await copy(presigned_url, texts.picture.linkCopied(time));
    };
    const dialog = h(
      "dialog",
      { class: "picture", "aria-label": texts.picture.title, onclose: () => dialog.remove() },
      button(texts.close, () => dialog.close(), { icon: "✕", class: "close quiet" }),
      image,
      h(
        "dl",
        {},
        facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat(),
        h("dt", {}, texts.picture.dimensions),
        dimensions,
      ),
      h(
        "div",
        { class: "buttons" },
        button(texts.picture.ask, () => (dialog.close(), this.onask(picture)), { class: "primary" }),
        button(texts.picture.copyId, () => copy(id)),
        button(texts.picture.copyLink, () => link().catch((problem) => notify(problem.message))),
        full,
        button(texts.picture.delete, () => (dialog.close(), this.#delete(picture))),
      ),
      h("h3", {}, texts.picture.code),
      codeOf(this.gateway, id),
    );
    document.body.append(dialog);
    dialog.showModal();
    try {
      full.href = image.src = (await this.gateway.info(id)).presigned_url;
    } catch (problem) {
      notify(/** @type {Error} */ (problem).message);
    }
  }

  /** @param {Picture} picture */
  #left({ created_at }) {
    const end = Date.parse(created_at ?? "") + this.config.retention_days * DAY;
    return words.days(Math.round((end - Date.now()) / DAY));
  }
}

/**
 * A request about one picture, in the language that people choose.
 * @param {import("./gateway.js").Gateway} gateway
 * @param {string} id
 */
function codeOf(gateway, id) {
  const content = [
    { type: "text", text: texts.chat.placeholder },
    { type: "image_url", image_url: { url: id } },
  ];
  const body = { model: gateway.model, messages: [{ role: "user", content }] };
  return codeChooser(gateway, () => body);
}
