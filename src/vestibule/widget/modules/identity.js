// Holds who the visitor is to the service: gets a contact token by the way that the page has given, renews it before it
// ends and once when it is refused. It never falls back from a proof that failed to a visitor without one.

import { Refused, Unreachable } from "./api.js";

/** There is no good token any more, and nothing left to get one with. */
export class Expired extends Error {}

const LONGEST_TIMER = 2 ** 31 - 1;

export class Identity {
  constructor(parts) {
    Object.assign(this, parts);
    this.use({ claims: {} });
  }

  /** From now on the visitor is this one. */
  use(user) {
    this.user = user;
    this.way = wayOf(user);
    this.verifies = this.way !== "claims";
    this.current = this.verifies ? null : this.stored();
    this.contact = this.current ? contactOf(this.current) : null;
    this.expired = false;
    this.asking = null;
    clearTimeout(this.timer);
    this.turn = (this.turn || 0) + 1;
    this.giveUp?.(new Expired()); // what was asked for this one's predecessor is no longer waited for
  }

  /** The token of this device, if it was made for the same claims: what a page says of its visitor may change. */
  stored() {
    const kept = this.device.kept.get("visitor");
    const same = kept && (this.user.formMayFollow || JSON.stringify(kept.claims) === JSON.stringify(this.user.claims));
    return same ? kept.token : null;
  }

  /** Takes the token that another tab of this device has been given meanwhile: they are one visitor. */
  recall() {
    const kept = this.isUnknown && !this.expired && !this.asking && this.stored();
    if (kept) this.take(kept);
  }

  /** Whether it is somebody who is proven, as far as is known here. Where a proof could not be checked, the service may
   *  have let in a guest. */
  get isProven() {
    return this.contact?.verified ?? this.verifies;
  }

  /** Whose conversations are shown and begun. A guest's are their device's, which has no scope before the first. */
  get scope() {
    return this.user.scope || (this.isProven ? undefined : this.device.scope());
  }

  /** Whether a page has to ask the visitor first. */
  get isUnknown() {
    return !this.verifies && !this.current;
  }

  /** Whether the workspace has no visitors like this one: the service would refuse what they write. */
  get isBarred() {
    return !this.verifies && this.config.login_required;
  }

  /** A token that is good as far as is known here. Throws Expired, Refused, Unreachable. */
  async token() {
    if (this.expired) throw new Expired();
    return this.current || this.obtain(false);
  }

  /** A call in the visitor's name; where the token is refused, once more with a renewed one. */
  async call(method, path, options = {}) {
    return this.withToken((token) => this.api.call(method, path, { ...options, token }));
  }

  async withToken(use) {
    const turn = this.turn;
    const token = await this.token();
    // Nothing that one person began goes on in the name of the next.
    if (turn !== this.turn) throw new Expired();
    try {
      return await use(token);
    } catch (error) {
      const isLogin = error.code === "login_required"; // which no other token of the same visitor changes
      if (!(error instanceof Refused) || error.status !== 401 || isLogin || turn !== this.turn) throw error;
    }
    // Another call that was under way has found out already.
    if (this.expired) throw new Expired();
    const fresh = this.current !== token && this.current ? this.current : await this.obtain(true);
    if (turn !== this.turn) throw new Expired();
    if (fresh === token) {
      // The page has no other. To be known before another call is refused, which would ask it once more.
      this.expire();
      throw new Expired();
    }
    try {
      return await use(fresh);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      if (turn === this.turn) this.expire();
      throw new Expired();
    }
  }

  /** Gets a token; several callers at once wait for one. `isEarly`: the one that there is goes on being good. */
  obtain(again, isEarly = false) {
    if (!this.asking) {
      const turn = this.turn;
      // A page's answer may never come, and what waits for it holds the lock on what is sent.
      const end = new Promise((_, reject) => (this.giveUp = reject));
      const asking = Promise.race([this.ask(again), end])
        .then((token) => {
          const { contact } = this;
          // The page's session is another person's by now, who has signed in elsewhere: all begins anew, and nothing
          // goes on in their name. Who was merged into another contact finds their chats there. A page that brings a
          // stranger each time, none of whom the service knows, is not asked for ever.
          const isAnothers = contact?.verified && contactOf(token).id !== contact.id;
          if (turn !== this.turn || (isAnothers && again && contact.isNew)) throw new Expired();
          if (isAnothers) this.use(this.user);
          this.take(token);
          if (!isAnothers) return token;
          this.contact.isNew = true; // until `know`
          this.replaced();
          throw new Expired();
        })
        .catch((error) => {
          if (turn === this.turn && again && !isEarly && !error.passes) this.expire();
          throw error;
        })
        .finally(() => {
          if (this.asking === asking) this.asking = null;
        });
      this.asking = asking;
    }
    return this.asking;
  }

  take(token) {
    this.current = token;
    this.contact = { ...this.contact, ...contactOf(token) };
    this.expired = false;
    const { iat, exp } = claimsOf(token);
    clearTimeout(this.timer);
    if (!exp || !this.renews) return;
    // By the token's own life, because the visitor's clock may be wrong: a fifth of it early, a minute at the most.
    const life = exp - iat;
    const wait = (life - Math.min(60, life / 5)) * 1000;
    this.timer = setTimeout(
      () => this.obtain(true, true).catch(() => {}),
      Math.min(Math.max(wait, 1000), LONGEST_TIMER),
    );
  }

  expire() {
    if (this.expired) return;
    this.expired = true;
    this.current = null;
    this.tell("identityExpired", { contact: this.contact });
  }

  /** The visitor, or the page, asks to try again. */
  forgive() {
    this.expired = false;
  }

  get renews() {
    const { getToken, idToken, accessToken, userToken } = this.user;
    return getToken || userToken || typeof idToken === "function" || typeof accessToken === "function";
  }

  async ask(again) {
    const { user, turn } = this;
    if (this.way === "contact") {
      if (!again && user.token) return user.token;
      if (!user.getToken) throw new Expired();
      return brought(user.getToken);
    }
    if (again && !this.renews && this.verifies) throw new Expired();
    if (this.way === "provider") return exchange(this.api, this.config.customer_id, user);
    if (this.way === "endpoint") {
      const userToken = await brought(user.userToken);
      const { email, name, phone, external_id: userId } = user.claims;
      const fields = { user_id: userId, email, name, phone_number: phone };
      const json = { widget_token: this.config.widget_token, user_token: userToken, fields };
      return (await this.api.call("POST", "/v1/visitors/authenticate", { json })).token;
    }
    // Another tab may have been given one, or another one: two would be two visitors, and the chat of one be lost.
    const kept = this.stored();
    if (kept && (!again || kept !== this.current)) return kept;
    // The token was ended, by its visitor or an operator: a new one, and with it a new scope, so nothing is shown that
    // was ended on purpose.
    if (again && !user.scope) this.device.kept.remove("scope");
    const claims = user.claims;
    const { token } = await this.api.call("POST", "/v1/visitors", {
      json: { widget_token: this.config.widget_token, ...claims },
    });
    // Somebody else is there by now, or this one has signed out: what the device keeps is no longer theirs.
    if (turn !== this.turn) throw new Expired();
    // The first that is kept is the device's: other tabs may have asked at the same time.
    const first = this.stored();
    if (first && first !== kept) return first;
    this.device.kept.set("visitor", { token, claims });
    return token;
  }

  /** Asks the service who this is; `verified` is its word and not the page's. */
  async know() {
    const turn = this.turn;
    const me = await this.call("GET", "/v1/me");
    if (turn !== this.turn) throw new Expired(); // it was asked of somebody else
    this.contact = { id: me.id, verified: me.verified, name: me.name, email: me.email };
    return this.contact;
  }

  /** Ends the token, here and at the service, as far as it can be reached. */
  async end() {
    const token = this.current;
    if (token) await this.api.call("POST", "/v1/me/sign-out", { token }).catch(() => {});
  }
}

function wayOf(user) {
  if (user.token || user.getToken) return "contact";
  if (user.idToken || user.accessToken) return "provider";
  return user.userToken ? "endpoint" : "claims";
}

/** What the page says or brings. Its own request may fail for want of a network, which is no refusal. */
async function brought(source) {
  let token = source;
  try {
    if (typeof source === "function") token = await source();
  } catch (error) {
    throw error instanceof TypeError || !navigator.onLine ? new Unreachable(String(error)) : error;
  }
  if (typeof token !== "string" || !token) throw new Expired();
  return token;
}

/** A token of the customer's identity provider for a contact token, with PKCE (RFC 7636, S256): whoever sees the
 *  `userInfoId` on its way can do nothing with it. */
async function exchange(api, customerId, user) {
  const kind = user.idToken ? "idToken" : "accessToken";
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  if (!crypto.subtle) throw new TypeError("Vestibule: the page must be served over https for PKCE");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const json = { codeChallenge: base64url(new Uint8Array(digest)), [kind]: await brought(user[kind]) };
  const query = user.providerId ? `?providerId=${encodeURIComponent(user.providerId)}` : "";
  const path = `/api/authenticate/${encodeURIComponent(customerId)}${query}`;
  const { userInfoId } = await api.call("POST", path, { json });
  const form = new URLSearchParams({
    grant_type: "urn:vestibule:params:oauth:grant-type:user-info-id",
    user_info_id: userInfoId,
    code_verifier: verifier,
    client_id: customerId,
  });
  return (await api.call("POST", "/v1/token", { form })).access_token;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** What a token says, unchecked: only to know its end, and whose unsent messages are whose. */
function claimsOf(token) {
  try {
    const text = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0)))) || {};
  } catch {
    return {};
  }
}

export function contactOf(token) {
  const { sub, contact } = claimsOf(token);
  return { id: sub, verified: !!contact?.verified };
}
