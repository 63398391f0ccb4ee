/** Asking a model about pictures, and what the request was on both sides of the gateway. */
import { button, h, notify } from "./dom.js";
import { markdown } from "./markdown.js";
import { codeChooser } from "./snippets.js";
import { texts } from "./texts.js";

/** @typedef {import("./gateway.js").Picture} Picture */

const words = texts.chat;

export class Chat {
  /** @type {Map<string, HTMLElement>} pictures of the next message */
  #attached = new Map();
  /** @type {{role: string, content: unknown}[]} */
  #turns = [];
  /** @type {AbortController | null} */
  #answering = null;

  /** @param {import("./gateway.js").Gateway} gateway */
  constructor(gateway) {
    this.gateway = gateway;
    this.request = new RequestPanel(gateway);
    this.model = h("select", {
      "aria-label": words.model,
      onchange: () => (gateway.model = this.model.value),
    });
    this.log = h("div", { class: "log", role: "log", tabindex: 0, "aria-label": words.title });
    this.attachments = h("ul", { class: "attached", "aria-label": words.attached });
    this.question = h("textarea", {
      rows: 2,
      placeholder: words.placeholder,
      "aria-label": words.question,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.#ask();
      },
    });
    this.send = h("button", { type: "submit", class: "primary" }, words.send);
    this.stop = button(words.stop, () => this.#answering?.abort(), { hidden: true });
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "chat-title" },
      h(
        "div",
        { class: "row spread" },
        h("h2", { id: "chat-title" }, words.title),
        h("span", { class: "buttons" }, this.model, button(words.again, () => this.#forget())),
      ),
      this.log,
      h(
        "form",
        { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), this.#ask()) },
        this.attachments,
        this.question,
        h("div", { class: "row end" }, this.stop, this.send),
      ),
    );
    this.#forget();
  }

  async loadModels() {
    try {
      const models = await this.gateway.models();
      this.model.replaceChildren(...models.map(({ id }) => h("option", {}, id)));
      this.gateway.model = this.model.value;
      if (!models.length) notify(words.noModels);
    } catch (problem) {
      notify(/** @type {Error} */ (problem).message);
    }
  }

  #forget() {
    this.#answering?.abort();
    this.#turns = [];
    this.log.replaceChildren(
      h("p", { class: "empty" }, h("strong", {}, words.emptyTitle), h("br"), words.empty),
    );
  }

  /**
   * Put a picture into the next message.
   * @param {Picture} picture
   */
  async attach(picture) {
    const { id } = picture;
    if (this.#attached.has(id)) return;
    const image = h("img", { alt: id });
    const leaveOut = () => {
      this.#attached.get(id)?.remove();
      this.#attached.delete(id);
    };
    const item = h("li", {}, image, button(words.detach(id), leaveOut, { icon: "✕" }));
    this.#attached.set(id, item);
    this.attachments.append(item);
    image.src = await this.gateway.thumbnail(picture).catch(() => "");
  }

  /** Bring the question into sight, for people to write it. */
  show() {
    this.element.scrollIntoView({ block: "nearest" });
    this.question.focus({ preventScroll: true });
  }

  async #ask() {
    const ids = [...this.#attached.keys()];
    const text = this.question.value.trim() || (ids.length ? words.asked : "");
    if (!text || this.#answering) return;
    const content = [
      { type: "text", text },
      ...ids.map((id) => ({ type: "image_url", image_url: { url: id } })),
    ];
    if (!this.#turns.length) this.log.replaceChildren();
    const images = [...this.#attached.values()].map((item) => item.querySelector("img"));
    this.log.append(h("div", { class: "turn you" }, images, h("p", {}, text)));
    this.#attached.clear();
    this.attachments.replaceChildren();
    this.question.value = "";
    const asked = { role: "user", content };
    const body = { model: this.model.value, messages: [...this.#turns, asked] };
    this.request.sent(body);
    const answer = h("div", {}, h("span", { class: "hint" }, words.thinking));
    this.log.append(h("div", { class: "turn" }, answer));
    await this.#hear(body, asked, answer);
  }

  /**
   * @param {{messages: object[]}} body
   * @param {{role: string, content: unknown}} asked
   * @param {HTMLElement} answer
   */
  async #hear(body, asked, answer) {
    this.#answering = new AbortController();
    this.#busy(true);
    let heard = "";
    let drawing = 0;
    const draw = () => {
      cancelAnimationFrame(drawing);
      drawing = 0;
      answer.replaceChildren(...markdown(heard));
      this.log.scrollTop = this.log.scrollHeight;
    };
    const note = (/** @type {string} */ kind, /** @type {string} */ text) =>
      answer.after(h("p", { class: kind }, text));
    try {
      const name = await this.gateway.chat(body, this.#answering.signal, (piece) => {
        heard += piece;
        // However many pieces come, the answer is drawn once for each picture on the screen.
        drawing ||= requestAnimationFrame(draw);
      });
      this.request.received(await this.gateway.received(name));
    } catch (problem) {
      const { name, message, param } = /** @type {import("./gateway.js").ApiError} */ (problem);
      if (!heard) answer.replaceChildren();
      if (name === "AbortError") note("hint", words.stopped);
      else note("problem", param ? `${message} (${texts.errors.place(param)})` : message);
    }
    if (heard) draw();
    if (heard) this.#turns.push(asked, { role: "assistant", content: heard });
    this.#answering = null;
    this.#busy(false);
  }

  /** @param {boolean} is */
  #busy(is) {
    this.send.hidden = is;
    this.stop.hidden = !is;
    this.log.setAttribute("aria-busy", String(is));
    this.log.scrollTop = this.log.scrollHeight;
  }
}

/** What was asked last: as it was sent, as the model received it, and as code. */
class RequestPanel {
  /** @param {import("./gateway.js").Gateway} gateway */
  constructor(gateway) {
    this.gateway = gateway;
    this.sentCode = json(texts.request.sent);
    this.receivedCode = json(texts.request.received);
    this.note = h("p", { class: "hint" }, texts.request.none);
    this.code = h("div", {});
    this.element = h(
      "section",
      { class: "card request", "aria-labelledby": "request-title" },
      h("h2", { id: "request-title" }, texts.request.title),
      this.note,
      h(
        "div",
        { class: "both" },
        h("div", {}, h("h3", {}, texts.request.sent), this.sentCode),
        h("div", {}, h("h3", {}, texts.request.received), this.receivedCode),
      ),
      this.code,
    );
    this.element.classList.add("nothing");
  }

  /** @param {object} body */
  sent(body) {
    this.element.classList.remove("nothing");
    this.note.textContent = "";
    fill(this.sentCode, JSON.stringify(body, null, 2), /(jan_[0-9a-z]{26})/);
    this.receivedCode.textContent = "…";
    const code = codeChooser(this.gateway, () => body);
    this.code.replaceChildren(h("h3", {}, texts.request.code), code);
  }

  /** @param {string | null} body */
  received(body) {
    this.note.textContent = body === null ? texts.request.foreign : texts.request.receivedNote;
    fill(this.receivedCode, pretty(body ?? ""), /(https?:\/\/[^"\s]*jan_[^"\s]*)/);
  }
}

/** @param {string} label */
function json(label) {
  return h("pre", { class: "code", tabindex: 0, "aria-label": label });
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * Show a text with what the gateway replaced marked, the latest of it in sight.
 * @param {HTMLElement} code
 * @param {string} text
 * @param {RegExp} replaced with a group around all of it
 */
function fill(code, text, replaced) {
  const pieces = text.split(replaced);
  code.replaceChildren(
    ...pieces.map((piece, index) => (index % 2 ? h("mark", {}, piece) : piece)),
  );
  const last = /** @type {HTMLElement | null} */ (code.querySelector("mark:last-of-type"));
  code.scrollTop = last ? last.offsetTop - code.clientHeight / 2 : 0;
}
