/** The page: who is signed in above, pictures on one side, the model on the other. */
import { button, h, notify } from "./dom.js";
import { Chat } from "./chat.js";
import { Gateway } from "./gateway.js";
import { Library } from "./library.js";
import { Session } from "./session.js";
import { askToSignIn } from "./sign_in.js";
import { texts } from "./texts.js";
import { Uploads } from "./upload.js";

const here = new URL(".", import.meta.url);
const app = /** @type {HTMLElement} */ (document.getElementById("app"));

async function start() {
  const answer = await fetch(new URL("config.json", here));
  /** @type {import("./session.js").Config} */
  const config = await answer.json();
  const root = new URL(config.gateway, here).href;
  let failure = "";
  const session = new Session(config, root, async (was) => {
    const kept = await askToSignIn(session, was, failure);
    failure = "";
    if (was) queueMicrotask(() => page.signedIn());
    return kept;
  });
  const gateway = new Gateway(root, session);
  const page = show(gateway, config);
  if (config.oidc) {
    const { cameBackFrom } = await import("./oidc.js");
    try {
      const kept = await cameBackFrom(config.oidc);
      if (kept) await session.admit(kept);
    } catch (problem) {
      failure = texts.signIn.failed(/** @type {Error} */ (problem).message);
    }
  }
  await session.token(); // asks people if nobody is signed in
  if (failure) notify(failure, { seconds: 10 });
  page.signedIn();
}

/**
 * @param {Gateway} gateway
 * @param {import("./session.js").Config} config
 */
function show(gateway, config) {
  const chat = new Chat(gateway);
  const library = new Library(gateway, config, (picture) => {
    chat.attach(picture);
    chat.show();
  });
  const uploads = new Uploads(gateway, config, (picture) => {
    library.add(picture);
    chat.attach(picture);
  });
  const who = h("span", { class: "who" });
  const out = async () => {
    library.flush();
    const next = await gateway.session.end();
    if (next) location.assign(next);
    else location.reload();
  };
  app.replaceChildren(
    h("a", { class: "skip", href: "#main" }, texts.skip),
    h(
      "header",
      {},
      h("img", { src: new URL("icon.svg", here).href, alt: "", width: 36, height: 36 }),
      h("div", {}, h("h1", {}, texts.name), h("p", {}, texts.tagline)),
      h("a", { href: gateway.url("docs/"), target: "_blank", rel: "noreferrer" }, texts.reference),
      h("div", { class: "account" }, who, button(texts.signIn.out, out, { class: "quiet" })),
    ),
    h(
      "main",
      { id: "main", tabindex: -1 },
      h("div", { class: "column" }, uploads.element, library.element),
      h("div", { class: "column" }, chat.element, chat.request.element),
    ),
  );
  return {
    signedIn() {
      const { kind = "key", name } = gateway.session.current ?? {};
      who.textContent = name || texts.signIn.as[kind];
      library.reload();
      chat.loadModels();
    },
  };
}

start().catch((problem) => {
  console.error(problem);
  notify(texts.errors.start, { seconds: 3600 });
});
