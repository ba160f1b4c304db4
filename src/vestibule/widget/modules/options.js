// Reads what the page wants: attributes of the script, our own options, or OpenCX's; one form comes out.

const LONGEST_TOKEN = 16384;

/** A token as pages hand it over, or undefined: templates that were never filled in are no token. */
export function tokenOf(value) {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  const none = /^(|undefined|null|%.*%|\{\{.*\}\}|\$\{.*\})$/.test(text);
  return none || text.length > LONGEST_TOKEN ? undefined : text;
}

/** A token, or a function that brings one. */
function tokenSource(value) {
  return typeof value === "function" ? value : tokenOf(value);
}

/** Options from the script's data attributes; null where it has none, and the page will call `init` itself. With
 *  `data-aid` they are CX Genie's, and `data-token` is the visitor's user token; without, it is the widget token. */
export function fromScript(script) {
  const data = script.dataset;
  const widgetToken = data.widgetToken || data.aid || data.token;
  if (!widgetToken) return null;
  return {
    token: widgetToken,
    apiUrl: data.apiUrl,
    language: data.lang,
    theme: data.theme,
    position: data.position,
    signInUrl: data.signInUrl,
    collectUserData: "collectUserData" in data && data.collectUserData !== "false",
    user: {
      token: data.contactToken,
      userToken: data.userToken || (data.aid || data.widgetToken ? data.token : undefined),
      idToken: data.idToken,
      accessToken: data.accessToken,
      externalId: data.scope,
      data: {
        name: data.name,
        email: data.email,
        phone: data.phoneNumber || data.phone,
        externalId: data.userId,
      },
    },
  };
}

/** Who the page says is there, in one form: at most one way to prove it, and claims. */
export function userOf(given) {
  const user = given || {};
  const data = user.data || {};
  return {
    token: tokenOf(user.token),
    getToken: typeof user.getToken === "function" ? user.getToken : undefined,
    idToken: tokenSource(user.idToken),
    accessToken: tokenSource(user.accessToken),
    providerId: user.providerId,
    userToken: tokenSource(user.userToken),
    scope: user.externalId ? String(user.externalId) : undefined,
    claims: trimmed({
      name: data.name,
      email: data.email,
      phone: data.phone || data.phoneNumber,
      external_id: data.externalId || data.userId,
      custom_data: data.customData && Object.keys(data.customData).length ? data.customData : undefined,
    }),
  };
}

/** Without members that say nothing. */
export function trimmed(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => (value ?? "") !== ""));
}

/** An address that a link may lead to. */
function webAddress(value) {
  const url = value && new URL(value, location.href);
  return url && /^https?:$/.test(url.protocol) ? url.href : undefined;
}

/** All options in one form. Throws where the page forgot what cannot be guessed. */
export function optionsOf(given, scriptUrl) {
  const widgetToken = tokenOf(given.widgetToken || given.token);
  if (!widgetToken) throw new TypeError("Vestibule: the option `token`, the widget token, is missing");
  const bot = given.bot || {};
  return {
    widgetToken,
    apiUrl: String(given.apiUrl || new URL("./", scriptUrl).href).replace(/\/+$/, ""),
    language: given.language,
    theme: typeof given.theme === "string" ? given.theme : "auto",
    accent: given.theme && given.theme.primaryColor,
    position: given.position === "left" || given.position === "start" ? "start" : "end",
    signInUrl: webAddress(given.signInUrl),
    isOpen: Boolean(given.isOpen),
    user: userOf(given.user),
    collect: Boolean(given.collectUserData),
    prefill: given.prefillUserData === true ? userOf(given.user).claims : given.prefillUserData || {},
    extraFields: (given.extraDataCollectionFields || []).map(String),
    title: given.title,
    botName: bot.name,
    greetings: given.initialMessages,
    questions: given.initialQuestions || [],
    texts: given.texts || {},
    sessionCustomData: given.sessionCustomData,
    message: trimmed({
      headers: given.headers,
      query_params: given.queryParams,
      body_properties: given.bodyProperties,
      context: given.context,
      custom_data: given.messageCustomData,
      language: given.language,
    }),
  };
}
