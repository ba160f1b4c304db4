// Signs in at the identity provider by authorization code and PKCE (RFC 6749, RFC 7636), without a back end. It knows
// nothing of the chat.

const WAITING = 'signing-in'

export function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
}

export function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)))
}

export async function challengeOf(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))))
}

const home = () => `${location.origin}/`

// Leaves the page; the provider sends the browser back with a code.
export async function begin(config) {
  const waiting = { state: random(), nonce: random(), verifier: random() }
  sessionStorage.setItem(WAITING, JSON.stringify(waiting))
  const asked = new URLSearchParams({
    client_id: config.client,
    response_type: 'code',
    scope: 'openid profile email',
    redirect_uri: home(),
    state: waiting.state,
    nonce: waiting.nonce,
    code_challenge: await challengeOf(waiting.verifier),
    code_challenge_method: 'S256',
  })
  location.assign(`${config.issuer}/auth?${asked}`)
}

// The ID token, if the browser has just come back with a code; else null.
export async function finish(config) {
  const came = new URLSearchParams(location.search)
  const waiting = JSON.parse(sessionStorage.getItem(WAITING) ?? 'null')
  sessionStorage.removeItem(WAITING)
  // Neither the history nor a copied address shall hold the code.
  history.replaceState(null, '', home())
  if (came.has('error')) throw new Error(`The provider says: ${came.get('error')}`)
  if (!came.has('code')) return null
  if (!waiting || came.get('state') !== waiting.state) throw new Error('This sign-in was not begun here.')
  const answer = await fetch(`${config.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: config.client,
      redirect_uri: home(),
      code: came.get('code'),
      code_verifier: waiting.verifier,
    }),
  })
  const tokens = await answer.json()
  if (!answer.ok) throw new Error(`The provider says: ${tokens.error}`)
  // The nonce ties the token to this sign-in. Whether it is genuine is for Vestibule to say, which has the keys.
  if (claimsOf(tokens.id_token).nonce !== waiting.nonce) throw new Error('This token is of another sign-in.')
  return tokens.id_token
}

// Leaves the page; the provider ends its session and tells Vestibule, which ends the contact tokens of it.
export function end(config, idToken) {
  const asked = new URLSearchParams({ id_token_hint: idToken, post_logout_redirect_uri: home() })
  location.assign(`${config.issuer}/session/end?${asked}`)
}

function claimsOf(token) {
  const part = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (one) => one.charCodeAt(0))))
}
