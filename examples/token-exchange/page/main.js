// The page: who is signed in, what has been done, and the chat.

import * as chat from './chat.js'
import * as signIn from './sign_in.js'

const KEPT = 'chat'
const EVERY_MS = 1000
const config = await (await fetch('config.json')).json()
const at = (id) => document.getElementById(id)
let kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null')
let seen = 0

at('sign-in').addEventListener('click', () => signIn.begin(config))
at('sign-out').addEventListener('click', () => {
  const { idToken } = kept
  forget()
  signIn.end(config, idToken)
})
at('compose').addEventListener('submit', async (event) => {
  event.preventDefault()
  const text = at('text').value.trim()
  if (!text) return
  at('send').disabled = true
  try {
    await chat.send(config, kept, text)
    at('text').value = ''
    await look()
  } catch (error) {
    complain(error)
  }
  at('send').disabled = false
  at('text').focus()
})

try {
  const idToken = await signIn.finish(config)
  if (idToken) {
    tell('You signed in at the identity provider, which gave this page an ID token.')
    kept = { idToken, ...(await chat.start(config, idToken, tell)) }
    sessionStorage.setItem(KEPT, JSON.stringify(kept))
  }
  if (kept) {
    const me = await chat.me(config, kept)
    at('name').textContent = me.name ?? me.email ?? me.id
    at('contact').textContent = me.id
    show('signed-in')
    await follow()
  } else {
    show('signed-out')
  }
} catch (error) {
  complain(error)
}

async function follow() {
  while (kept) {
    await look()
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}

async function look() {
  if (!kept) return
  for (const message of await chat.newMessages(config, kept, seen)) {
    if (message.seq <= seen) continue
    seen = message.seq
    if (message.text) at('messages').append(bubble(message))
  }
  at('messages').lastElementChild?.scrollIntoView({ block: 'nearest' })
}

function bubble(message) {
  const item = document.createElement('li')
  const mine = message.sender === 'user'
  item.className = mine ? 'mine' : 'theirs'
  const who = document.createElement('span')
  who.className = 'who'
  who.textContent = mine ? `You (${message.trust})` : (message.senderName ?? 'Support')
  const text = document.createElement('p')
  text.textContent = message.text // data, never markup
  item.append(who, text)
  return item
}

function tell(sentence) {
  const item = document.createElement('li')
  item.textContent = sentence
  at('steps').append(item)
}

function show(state) {
  document.body.dataset.state = state
}

function forget() {
  kept = null
  sessionStorage.removeItem(KEPT)
}

function complain(error) {
  // The contact token has ended: perhaps the person signed out at the provider, in another tab.
  if (error instanceof chat.Refused && error.status === 401) forget()
  at('problem').textContent = kept ? error.message : `You are not signed in: ${error.message}`
  at('problem').hidden = false
  if (!kept) show('signed-out')
}
