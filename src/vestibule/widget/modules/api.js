// Calls the service; it knows no credential of its own, and retries nothing.

/** The service has answered, and not with what was asked for. */
export class Refused extends Error {
  constructor(status, code, detail, wait) {
    super(detail || code);
    Object.assign(this, { status, code, wait });
  }

  /** Whether the same request may well succeed later. */
  get passes() {
    return this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

/** There was no answer: no network, or none that leads there. */
export class Unreachable extends Error {
  get passes() {
    return true;
  }
}

function broken(error) {
  throw new Unreachable(String(error));
}

const PATIENCE_MS = 20000;

export class Api {
  constructor(base) {
    this.base = base;
  }

  /** A fetch whose answer is good. Throws Refused, Unreachable. */
  async fetch(method, path, { token, body, headers = {}, signal } = {}) {
    let answer;
    try {
      answer = await fetch(this.base + path, {
        method,
        headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
        body,
        signal,
        // No cookie rides along, and no referrer tells where the visitor is.
        credentials: "omit",
        referrerPolicy: "no-referrer",
        cache: "no-store",
      });
    } catch (error) {
      broken(error);
    }
    if (answer.ok) return answer;
    const problem = (await answer.json().catch(() => 0)) || {};
    const wait = Number(answer.headers.get("Retry-After")) * 1000 || 0;
    throw new Refused(answer.status, problem.code || problem.error || "", problem.detail || problem.message, wait);
  }

  /** JSON there and back. `form` is sent as it is instead: FormData, or URLSearchParams. */
  async call(method, path, { token, json, form } = {}) {
    const ending = new AbortController();
    // Uploads take as long as they take.
    const timer = form instanceof FormData ? 0 : setTimeout(() => ending.abort(), PATIENCE_MS);
    const headers = json === undefined ? {} : { "Content-Type": "application/json" };
    const body = json === undefined ? form : JSON.stringify(json);
    try {
      const answer = await this.fetch(method, path, { token, body, headers, signal: ending.signal });
      return answer.status === 204 ? null : await answer.json().catch(broken);
    } finally {
      clearTimeout(timer);
    }
  }
}
