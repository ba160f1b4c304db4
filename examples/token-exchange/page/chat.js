// A chat as the signed-in person. `tell` is called with what has been done, for people to read.

import { challengeOf, random } from './sign_in.js'

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.code ?? `status ${status}`)
    this.status = status
  }
}

// Exchanges the ID token and routes a new chat: what to keep of it, to go on after a reload.
export async function start(config, idToken, tell) {
  const codeVerifier = random()
  const codeChallenge = await challengeOf(codeVerifier)
  const { userInfoId } = await post(`${config.chat}/api/authenticate/${config.customer}`, { codeChallenge, idToken })
  tell('The ID token and a code challenge were exchanged for a userInfoId, which is good once.')
  const conversationId = crypto.randomUUID()
  const path = `/api/conversation/${conversationId}/route/${config.queue}`
  const { contactToken, contactId } = await post(config.chat + path, { userInfoId, codeVerifier })
  tell('The userInfoId and the code verifier routed a chat, and brought a contact token.')
  return { conversationId, contactToken, contactId }
}

export function me(config, kept) {
  return call(`${config.chat}/v1/me`, kept.contactToken)
}

export function send(config, kept, text) {
  const path = `/api/conversation/${kept.conversationId}/message`
  // An id of our own: a request that is repeated is stored once.
  return post(config.chat + path, { text, id: crypto.randomUUID() }, kept.contactToken)
}

export async function newMessages(config, kept, after) {
  const path = `/api/conversation/${kept.conversationId}/messages?after=${after}`
  return (await call(config.chat + path, kept.contactToken)).items
}

function post(url, body, bearer) {
  return call(url, bearer, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
}

async function call(url, bearer, options = {}) {
  const headers = { ...options.headers, ...(bearer && { Authorization: `Bearer ${bearer}` }) }
  const answer = await fetch(url, { ...options, headers })
  const body = await answer.json()
  if (!answer.ok) throw new Refused(answer.status, body)
  return body
}
