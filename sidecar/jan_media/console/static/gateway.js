/** The gateway's API, as this page uses it. */
import { uniqueName } from "./dom.js";
import { texts } from "./texts.js";

/**
 * A stored medium.
 * @typedef {{id: string, mime: string, bytes: number, created_at?: string, presigned_url: string,
 *   expires_at: string, deduped?: boolean, width?: number, height?: number}} Picture
 */

/** What the gateway, or the way to it, refused. `status` is 0 if there was no answer. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{message?: string, code?: string, param?: string | null}} error
   */
  constructor(status, { message, code, param }) {
    super(message || (status ? texts.errors.unknown(status) : texts.errors.network));
    this.status = status;
    this.code = code ?? "";
    this.param = param ?? "";
  }

  /**
   * @param {number} status
   * @param {string} body
   */
  static of(status, body) {
    try {
      const { error, message } = JSON.parse(body);
      return new ApiError(status, typeof error === "object" && error ? error : { message });
    } catch {
      return new ApiError(status, {});
    }
  }
}

/** @typedef {{url: string, fields: Record<string, string>}} Form where a storage takes a file */

/** Upload files of this size and more straight to the storage. */
const DIRECT_FROM = 4 * 1024 * 1024;
const TRY_THE_GATEWAY = ["not_supported", "unsupported_media_type"];

/**
 * The types of files that browsers do not know by their names: what phones write.
 * @type {Record<string, string>}
 */
const TYPES = { heic: "image/heic", heif: "image/heif", avif: "image/avif" };

export class Gateway {
  /**
   * @param {string} root the gateway's address, with a slash at its end
   * @param {import("./session.js").Session} session
   */
  constructor(root, session) {
    this.root = root;
    this.session = session;
    this.model = ""; // the one that people chose
  }

  /**
   * @param {string} path
   * @returns {string}
   */
  url(path) {
    return new URL(path, this.root).href;
  }

  /**
   * Ask the gateway with the caller's token. When the token has ended, people sign in again and
   * the question is asked once more.
   * @param {string} path
   * @param {RequestInit & {headers?: Record<string, string>}} [init]
   * @returns {Promise<Response>}
   */
  async ask(path, init = {}) {
    for (let again = false; ; again = true) {
      const token = await this.session.token();
      const headers = { ...init.headers, Authorization: `Bearer ${token}` };
      const answer = await fetch(this.url(path), { ...init, headers }).catch((problem) => {
        if (problem.name === "AbortError") throw problem;
        throw new ApiError(0, {});
      });
      if (answer.ok) return answer;
      const refusal = ApiError.of(answer.status, await answer.text().catch(() => ""));
      if (answer.status !== 401 || again) throw refusal;
      await this.session.renew(token);
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit & {headers?: Record<string, string>}} [init]
   * @returns {Promise<any>}
   */
  async json(path, init) {
    return (await this.ask(path, init)).json();
  }

  /** @param {unknown} body */
  static posted(body) {
    return {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
  }

  /**
   * One page of one's own media, newest first. `next` is for the next page, null at the end.
   * @param {string | null} after
   * @returns {Promise<{media: Picture[], next: string | null}>}
   */
  page(after) {
    const query = new URLSearchParams({ limit: "24", ...(after ? { after } : {}) });
    return this.json(`media/v1/media?${query}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<Picture>}
   */
  info(id) {
    return this.json(`media/v1/media/${id}`);
  }

  /**
   * A small version of a picture, as a URL of this page; the picture itself where the gateway
   * makes none.
   * @param {Picture} picture
   * @returns {Promise<string>}
   */
  async thumbnail(picture) {
    try {
      const answer = await this.ask(`media/v1/media/${picture.id}/thumbnail`);
      return URL.createObjectURL(await answer.blob());
    } catch {
      const fresh = Date.parse(picture.expires_at) > Date.now() + 5000;
      return fresh ? picture.presigned_url : (await this.info(picture.id)).presigned_url;
    }
  }

  /**
   * Give up a picture. Goes on when the page is closed meanwhile.
   * @param {string} id
   */
  async delete(id) {
    await this.ask(`media/v1/media/${id}`, { method: "DELETE", keepalive: true });
  }

  /**
   * What is used of what may be used. Null where the gateway does not count.
   * @returns {Promise<{bytes: number, files: number, quota_bytes: number, quota_files: number}
   *   | null>}
   */
  usage() {
    return this.json("media/v1/media/usage").catch(() => null);
  }

  /** @returns {Promise<{id: string, owned_by?: string}[]>} */
  async models() {
    const { data } = await this.json("v1/models");
    return Array.isArray(data) ? data.filter(({ id }) => typeof id === "string") : [];
  }

  /**
   * Have the gateway fetch a picture.
   * @param {string} url
   * @param {AbortSignal} signal
   * @returns {Promise<Picture>}
   */
  fetchFrom(url, signal) {
    const body = Gateway.posted({ source: { type: "remote_url", url } });
    return this.json("media/v1/media", { ...body, signal });
  }

  /**
   * Store a file: a large one straight in the storage.
   * @param {File} file
   * @param {AbortSignal} signal
   * @param {(share: number) => void} onprogress how much was sent, from 0 to 1
   * @returns {Promise<Picture>}
   */
  async upload(file, signal, onprogress) {
    const prepared = file.size < DIRECT_FROM ? null : await this.#prepare(file, signal);
    if (!prepared) return this.#throughGateway(file, signal, onprogress);
    let sent = 0;
    const noting = (/** @type {number} */ share) => onprogress((sent = share));
    try {
      await this.#toStorage(prepared.presigned_post, file, signal, noting);
    } catch (problem) {
      // A storage that does not know this page's address (CORS) lets no byte of it through.
      const unheard = problem instanceof ApiError && problem.status === 0 && sent === 0;
      if (!unheard || signal.aborted) throw problem;
      return this.#throughGateway(file, signal, onprogress);
    }
    return this.json(`media/v1/media/${prepared.id}/complete`, { method: "POST", signal });
  }

  /**
   * Ask where to send a file. Null if it has to go through the gateway: the storage takes none, or
   * the browser does not name its type well enough. The gateway looks at the bytes.
   * @param {File} file
   * @param {AbortSignal} signal
   * @returns {Promise<{id: string, presigned_post: Form} | null>}
   */
  async #prepare(file, signal) {
    const asked = Gateway.posted({ content_type: typeOf(file) });
    try {
      return await this.json("media/v1/media/prepare-upload", { ...asked, signal });
    } catch (problem) {
      if (problem instanceof ApiError && TRY_THE_GATEWAY.includes(problem.code)) return null;
      throw problem;
    }
  }

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   * @param {(share: number) => void} onprogress
   * @returns {Promise<Picture>}
   */
  async #throughGateway(file, signal, onprogress) {
    for (let again = false; ; again = true) {
      const token = await this.session.token();
      const form = new FormData();
      form.append("file", file);
      try {
        const headers = { Authorization: `Bearer ${token}` };
        const answer = await send(this.url("media/v1/media"), form, headers, signal, onprogress);
        return JSON.parse(answer);
      } catch (problem) {
        if (again || !(problem instanceof ApiError) || problem.status !== 401) throw problem;
        await this.session.renew(token);
      }
    }
  }

  /**
   * @param {Form} to
   * @param {File} file
   * @param {AbortSignal} signal
   * @param {(share: number) => void} onprogress
   */
  async #toStorage(to, file, signal, onprogress) {
    const form = new FormData();
    for (const [name, value] of Object.entries(to.fields)) form.append(name, value);
    form.append("file", file); // the last field, as S3 wants it
    await send(to.url, form, {}, signal, onprogress);
  }

  /**
   * Ask a model, and hear its answer as it is written.
   * @param {object} body a request for chat completions
   * @param {AbortSignal} signal
   * @param {(text: string) => void} onpiece
   * @returns {Promise<string>} the name that the request has in what the model received
   */
  async chat(body, signal, onpiece) {
    const name = uniqueName();
    const posted = Gateway.posted({ ...body, stream: true });
    const answer = await this.ask("v1/chat/completions", {
      ...posted,
      headers: { ...posted.headers, "X-Request-Id": name },
      signal,
    });
    if (!answer.headers.get("content-type")?.includes("event-stream")) {
      onpiece((await answer.json()).choices?.[0]?.message?.content ?? "");
      return name;
    }
    for await (const data of events(/** @type {ReadableStream} */ (answer.body))) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(answer.status, event.error);
      const piece = event.choices?.[0]?.delta?.content;
      if (typeof piece === "string") onpiece(piece);
    }
    return name;
  }

  /**
   * What the demo model says that it received. Null from any other model.
   * @param {string} name what `chat` returned
   * @returns {Promise<string | null>}
   */
  async received(name) {
    const all = await this.json("v1/received").catch(() => null);
    if (!Array.isArray(all)) return null;
    const found = all.find(({ headers }) =>
      headers.some((/** @type {string[]} */ [key, value]) => key === "x-request-id" && value === name),
    );
    return found?.body ?? null;
  }
}

/**
 * @param {File} file
 * @returns {string} its media type, as far as its name tells
 */
function typeOf(file) {
  const ending = file.name.split(".").at(-1)?.toLowerCase() ?? "";
  return file.type || TYPES[ending] || "application/octet-stream";
}

/**
 * POST a form and hear how much of it was sent, which `fetch` does not tell.
 * @param {string} url
 * @param {FormData} form
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onprogress
 * @returns {Promise<string>} the answer's body
 */
function send(url, form, headers, signal, onprogress) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onprogress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(request.responseText);
      else reject(ApiError.of(request.status, request.responseText));
    };
    request.onerror = () => reject(new ApiError(0, { message: texts.upload.lost }));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", abort);
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(form);
  });
}

/**
 * The data of each server-sent event.
 * @param {ReadableStream<Uint8Array>} stream
 */
async function* events(stream) {
  let rest = "";
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? "\n" : decoder.decode(value, { stream: true });
    const lines = rest.split(/\r\n|\n|\r/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
    if (done) return;
  }
}
