// Reads and checks a contact token as anybody could, with the published keys alone; it asks for nothing else.

const KEYS = "/.well-known/jwks.json";
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function base64url(text) {
  const raw = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function json(part) {
  return JSON.parse(new TextDecoder().decode(bytes(part)));
}

/** What a token says, believed or not. */
export function read(token) {
  const parts = token.split(".");
  return { parts, header: json(parts[0]), claims: json(parts[1]) };
}

async function publishedKeys(cache) {
  const answer = await fetch(KEYS, { cache });
  const fresh = /max-age=(\d+)/.exec(answer.headers.get("cache-control") ?? "");
  return { keys: (await answer.json()).keys, freshSeconds: fresh ? Number(fresh[1]) : 0 };
}

/** The published key that the header names. One made a moment ago is not in a kept copy yet, hence the second look. */
async function keyOf(header) {
  for (const cache of ["default", "reload"]) {
    const { keys, freshSeconds } = await publishedKeys(cache);
    const key = keys.find((candidate) => candidate.kid === header.kid);
    if (key) return { key, freshSeconds };
  }
  return { key: null, freshSeconds: 0 };
}

/** Every check that a reader of the token owes itself; `holds` tells about the signature alone. */
export async function check(token, issuer) {
  const { parts, header, claims } = read(token);
  const { key, freshSeconds } = await keyOf(header);
  let holds = false;
  // The algorithm is ours to choose, not the token's (RFC 8725 section 3.1).
  if (key && header.alg === "ES256") {
    const publicKey = await crypto.subtle.importKey("jwk", key, CURVE, false, ["verify"]);
    const signed = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
    holds = await crypto.subtle.verify(SIGNATURE, publicKey, bytes(parts[2]), signed);
  }
  const now = Date.now() / 1000;
  const others = [
    { holds: header.typ === "contact+jwt", text: "It is a contact token and no other kind of JWT." },
    { holds: claims.iss === issuer, text: "It was issued by this service." },
    {
      holds: claims.aud === `urn:vestibule:workspace:${claims.org_id}`,
      text: "It is meant for its own workspace only.",
    },
    { holds: claims.exp > now && claims.iat <= now + 60, text: "It is in time." },
  ];
  return { holds, kid: header.kid, freshSeconds, others };
}

/** The same token with another person's id in it, under the old signature. */
export function impersonating(token) {
  const { parts, claims } = read(token);
  const last = claims.sub.at(-1) === "0" ? "1" : "0";
  const sub = claims.sub.slice(0, -1) + last;
  const changed = { ...claims, sub, contact: { ...claims.contact, id: sub } };
  return [parts[0], base64url(JSON.stringify(changed)), parts[2]].join(".");
}
