/**
 * Who is signed in. The token is kept in the tab's sessionStorage: it outlives a reload, and is
 * gone with the tab.
 */
import { ApiError } from "./gateway.js";

/**
 * @typedef {"guest" | "key" | "provider"} Kind
 * @typedef {{kind: Kind, token: string, expiresAt: number, refresh?: string, name?: string}} Kept
 * @typedef {{gateway: string, guests: boolean, oidc: import("./oidc.js").Provider | null,
 *   types: string, max_bytes: number, retention_days: number}} Config
 */

const PLACE = "jan-session";
const EARLY = 10_000; // ms: a token that ends sooner is renewed before it is used

export class Session {
  /** @type {Kept | null} */
  #kept = null;
  /** @type {Promise<void> | null} */
  #renewing = null;

  /**
   * @param {Config} config
   * @param {string} root the gateway's address
   * @param {(was: Kept | null) => Promise<Kept>} askPeople has people sign in; what had ended is told
   */
  constructor(config, root, askPeople) {
    this.config = config;
    this.root = root;
    this.askPeople = askPeople;
    try {
      this.#kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
    } catch {
      sessionStorage.removeItem(PLACE);
    }
  }

  /** @returns {Kept | null} */
  get current() {
    return this.#kept;
  }

  /** @param {Kept} kept */
  keep(kept) {
    this.#kept = kept;
    sessionStorage.setItem(PLACE, JSON.stringify(kept));
  }

  /**
   * Sign out here.
   * @returns {Promise<string | null>} where to go on, to sign out at the provider too
   */
  async end() {
    const was = this.#kept;
    this.#kept = null;
    sessionStorage.removeItem(PLACE);
    if (was?.kind !== "provider" || !this.config.oidc) return null;
    const { wayOut } = await import("./oidc.js");
    return wayOut(this.config.oidc).catch(() => null);
  }

  /**
   * A token that has not ended, as far as can be known here.
   * @returns {Promise<string>}
   */
  async token() {
    const kept = this.#kept;
    if (!kept || (kept.expiresAt && kept.expiresAt - EARLY < Date.now())) {
      await this.renew(kept?.token ?? "");
    }
    return /** @type {Kept} */ (this.#kept).token;
  }

  /**
   * Get a token in the place of one that has ended: from the provider, or by asking people. However
   * many ask at once, people are asked once.
   * @param {string} ended
   */
  async renew(ended) {
    if (this.#kept && this.#kept.token !== ended) return;
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    await this.#renewing;
  }

  async #renew() {
    const was = this.#kept;
    this.keep((was && (await this.#fromProvider(was))) ?? (await this.askPeople(was)));
  }

  /** @param {Kept} was */
  async #fromProvider(was) {
    if (was.kind !== "provider" || !this.config.oidc) return null;
    const { renewed } = await import("./oidc.js");
    return renewed(this.config.oidc, was);
  }

  /**
   * Log a new guest in.
   * @returns {Promise<Kept>}
   */
  async guest() {
    const url = new URL("llm/auth/guest-login", this.root);
    const answer = await fetch(url, { method: "POST" }).catch(() => {
      throw new ApiError(0, {});
    });
    if (!answer.ok) throw ApiError.of(answer.status, await answer.text());
    const { access_token: token, expires_in: seconds } = await answer.json();
    return { kind: "guest", token, expiresAt: Date.now() + seconds * 1000 };
  }

  /**
   * Take a token or a key that somebody pasted. Null if the gateway refuses it.
   * @param {string} pasted
   * @returns {Promise<Kept | null>}
   */
  async key(pasted) {
    const token = pasted.trim().replace(/^bearer\s+/i, "");
    if (!/^[\x21-\x7e]+$/.test(token)) return null; // no header could carry it
    const refusal = await this.#refusalOf(token);
    if (refusal?.status === 401) return null;
    if (refusal) throw refusal;
    return { kind: "key", token, expiresAt: endOf(token) };
  }

  /**
   * Keep who came back from the provider, if the gateway admits them. Throws what it says if not.
   * @param {Kept} kept
   */
  async admit(kept) {
    const refusal = await this.#refusalOf(kept.token);
    if (refusal) throw refusal;
    this.keep(kept);
  }

  /**
   * What the gateway says against a token. Null if it admits it.
   * @param {string} token
   */
  async #refusalOf(token) {
    const url = new URL("media/v1/media?limit=1", this.root);
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(url, { headers }).catch(() => null);
    if (!answer) return new ApiError(0, {});
    return answer.ok ? null : ApiError.of(answer.status, await answer.text());
  }
}

/**
 * When a token says that it ends: milliseconds, 0 if it does not say.
 * @param {string} token
 * @returns {number}
 */
export function endOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : 0;
  } catch {
    return 0;
  }
}
