/**
 * Signing in with OpenID Connect: the authorization code flow with PKCE, by oauth4webapi.
 *
 * The browser leaves for the provider and comes back to the console's folder with a code in the
 * address. The code is exchanged at once and taken out of the address. The library is there if the
 * build brought it (`make console`), and is loaded only when somebody signs in this way.
 */
import { texts } from "./texts.js";

/**
 * What `config.json` says of the provider.
 * @typedef {{issuer: string, client_id: string, scope: string, audience: string}} Provider
 * @typedef {import("./session.js").Kept} Kept
 */

const here = new URL(".", import.meta.url).href; // where the provider sends people back, exactly
const WAITING = "jan-sign-in"; // what the provider's answer is checked against, in sessionStorage

/** The provider let nobody in, or its answer is not for this page. */
export class NotSignedIn extends Error {}

/**
 * Go to the provider. The page ends here, so this does not.
 * @param {Provider} provider
 * @returns {Promise<never>}
 */
export async function leaveFor(provider) {
  const { oauth, server } = await knownAs(provider);
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  sessionStorage.setItem(WAITING, JSON.stringify({ verifier, state, nonce }));
  location.assign(
    addressOf(provider, server.authorization_endpoint, {
      client_id: provider.client_id,
      response_type: "code",
      redirect_uri: here,
      scope: provider.scope,
      ...(provider.audience && { audience: provider.audience }),
      state,
      nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    }),
  );
  return new Promise(() => {});
}

/**
 * Who is signed in, if this page was opened by the provider's answer; else null.
 * @param {Provider} provider
 * @returns {Promise<Kept | null>}
 */
export async function cameBackFrom(provider) {
  const address = new URL(location.href);
  if (!address.searchParams.has("state")) return null;
  history.replaceState(null, "", here);
  const waiting = JSON.parse(sessionStorage.getItem(WAITING) ?? "null");
  sessionStorage.removeItem(WAITING);
  // Not begun in this tab: a link of somebody else, who would have people sign in as them.
  if (!waiting) throw new NotSignedIn(texts.signIn.notBegun);
  const { oauth, server, client, options } = await knownAs(provider);
  try {
    const answer = oauth.validateAuthResponse(server, client, address, waiting.state);
    const exchanged = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      oauth.None(),
      answer,
      here,
      waiting.verifier,
      options,
    );
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, exchanged, {
      expectedNonce: waiting.nonce,
      requireIdToken: true,
    });
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    const name = claims?.name ?? claims?.preferred_username ?? claims?.email;
    return kept(tokens, { name: String(name ?? ""), refresh: "" });
  } catch (problem) {
    throw new NotSignedIn(reasonOf(problem));
  }
}

/**
 * New tokens for ones that have ended. Null if the provider wants people to sign in again.
 * @param {Provider} provider
 * @param {Kept} was
 * @returns {Promise<Kept | null>}
 */
export async function renewed(provider, { refresh = "", name = "" }) {
  if (!refresh) return null;
  try {
    const { oauth, server, client, options } = await knownAs(provider);
    const auth = oauth.None();
    const answer = await oauth.refreshTokenGrantRequest(server, client, auth, refresh, options);
    return kept(await oauth.processRefreshTokenResponse(server, client, answer), { name, refresh });
  } catch {
    return null;
  }
}

/**
 * Where people end their session at the provider too. Null if it has no such page.
 * @param {Provider} provider
 * @returns {Promise<string | null>}
 */
export async function wayOut(provider) {
  const { server } = await knownAs(provider);
  const page = server.end_session_endpoint;
  const back = { client_id: provider.client_id, post_logout_redirect_uri: here };
  return page ? addressOf(provider, page, back) : null;
}

/**
 * The library, and what the provider says of itself: that it is the issuer is checked.
 * @param {Provider} provider
 */
async function knownAs({ issuer, client_id }) {
  /** @type {typeof import("oauth4webapi")} */
  const oauth = await import(new URL("vendor/oauth4webapi.js", here).href);
  const url = new URL(issuer);
  // The sidecar takes an issuer without https on its own machine alone.
  const options = { [oauth.allowInsecureRequests]: url.protocol === "http:" };
  try {
    const described = await oauth.discoveryRequest(url, options);
    const server = await oauth.processDiscoveryResponse(url, described);
    return { oauth, server, client: { client_id }, options };
  } catch {
    throw new NotSignedIn(texts.signIn.unreachable(url.host));
  }
}

/**
 * One of the provider's pages, never an address that runs something.
 * @param {Provider} provider
 * @param {string | undefined} page
 * @param {Record<string, string>} query
 */
function addressOf({ issuer }, page, query) {
  const address = new URL(page ?? "", issuer);
  if (address.protocol !== new URL(issuer).protocol) throw new NotSignedIn(texts.signIn.notSecure);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address.href;
}

/**
 * @param {import("oauth4webapi").TokenEndpointResponse} tokens
 * @param {{name: string, refresh: string}} before what stays, unless the provider says otherwise
 * @returns {Kept}
 */
function kept({ access_token, expires_in, refresh_token }, { name, refresh }) {
  return {
    kind: "provider",
    token: access_token,
    expiresAt: expires_in ? Date.now() + expires_in * 1000 : 0,
    refresh: refresh_token ?? refresh,
    name,
  };
}

/** @param {unknown} problem what the library threw */
function reasonOf(problem) {
  const { error, error_description } = /** @type {Record<string, unknown>} */ (problem);
  if (problem instanceof TypeError) return texts.errors.network; // of fetch
  if (error === "access_denied") return texts.signIn.denied;
  if (error) return texts.signIn.providerSays(String(error_description ?? error));
  return texts.signIn.wrongAnswer;
}
