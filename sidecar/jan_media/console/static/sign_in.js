/** The dialog in which people sign in. It stays until they have. */
import { button, h } from "./dom.js";
import { texts } from "./texts.js";

const words = texts.signIn;

/**
 * @param {import("./session.js").Session} session
 * @param {import("./session.js").Kept | null} was what has ended, if anything has
 * @param {string} [failure] why signing in has failed just now
 * @returns {Promise<import("./session.js").Kept>}
 */
export function askToSignIn(session, was, failure = "") {
  return new Promise((resolve) => {
    const problem = h("p", { class: "problem", role: "alert" }, failure);
    const input = h("input", {
      id: "key",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "key-hint",
    });
    /** @param {() => Promise<import("./session.js").Kept | string>} way the sign-in, or why not */
    const attempt = async (way) => {
      problem.textContent = "";
      dialog.toggleAttribute("aria-busy", true);
      try {
        const kept = await way();
        if (typeof kept === "string") {
          problem.textContent = kept;
        } else {
          dialog.close();
          dialog.remove();
          resolve(kept);
        }
      } catch (error) {
        problem.textContent = words.failed(/** @type {Error} */ (error).message);
      }
      dialog.toggleAttribute("aria-busy", false);
    };
    const withKey = async () => {
      if (!input.value.trim()) return words.keyMissing;
      return (await session.key(input.value)) ?? words.keyRefused;
    };
    const { oidc, guests } = session.config;
    const asGuest = button(words.guest, () => attempt(() => session.guest()), {
      class: oidc ? "wide" : "primary wide",
    });
    const ended = was && (was.kind === "guest" ? words.expiredGuest : words.expired);
    const dialog = h(
      "dialog",
      { class: "sign-in", "aria-labelledby": "sign-in-title", oncancel: stay },
      h("h2", { id: "sign-in-title" }, was ? words.title : texts.tagline),
      h("p", {}, ended || texts.intro),
      oidc && withProvider(oidc, attempt),
      guests && [asGuest, h("p", { class: "hint" }, words.guestHint)],
      oidc || guests ? h("p", { class: "or" }, words.or) : h("p", { class: "hint" }, words.none),
      h(
        "form",
        { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), attempt(withKey)) },
        h("label", { for: "key" }, words.key),
        h("div", { class: "row" }, input, h("button", { type: "submit" }, words.keyButton)),
        h("p", { class: "hint", id: "key-hint" }, words.keyHint),
      ),
      problem,
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * The button that leads to the provider. Browsers do its cryptography on secure pages alone.
 * @param {import("./oidc.js").Provider} provider
 * @param {(way: () => Promise<never>) => void} attempt
 */
function withProvider(provider, attempt) {
  if (!isSecureContext) return h("p", { class: "hint" }, words.needsHttps);
  const leave = async () => {
    const { leaveFor } = await import("./oidc.js");
    return leaveFor(provider);
  };
  const label = words.provider(new URL(provider.issuer).host);
  return button(label, () => attempt(leave), { class: "primary wide" });
}

/** @param {Event} event */
function stay(event) {
  event.preventDefault();
}
