// The shop's identity provider: panva's oidc-provider with one public client, the page. Settings come as JSON on standard
// input: {issuer, packages, client, page, logout}. Prints "ready" when it listens. Anybody may sign in as anybody here.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(readFileSync(0, "utf8"));
const { default: Provider } = await import(
  new URL("node_modules/oidc-provider/lib/index.js", pathToFileURL(`${settings.packages}/`))
);

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const provider = new Provider(settings.issuer, {
  clients: [
    {
      client_id: settings.client,
      // A page can keep no secret: PKCE is what ties the code to it.
      token_endpoint_auth_method: "none",
      redirect_uris: [`${settings.page}/`],
      post_logout_redirect_uris: [`${settings.page}/`],
      // Where it tells Vestibule that somebody signed out.
      backchannel_logout_uri: settings.logout,
      backchannel_logout_session_required: true,
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "example" }] },
  cookies: { keys: ["only for this example"] },
  // So that the ID token has the name and the address, and nobody need be asked for them.
  conformIdTokenClaims: false,
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@example.com`.toLowerCase(), email_verified: true }),
  }),
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  // Without its guard against private addresses: Vestibule is on this machine.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});

provider.listen(Number(new URL(settings.issuer).port), "127.0.0.1", () => console.log("ready"));
