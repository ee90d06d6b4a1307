// The agents' own OIDC issuer: real discovery, keys and tokens, with each client's groups in them.
//
// Options: {tls: {cert, key}, clients: [{client_id, client_secret, groups}], alg, ttl, audience,
// and for one that pretends to be another: {issuer, kid}}.
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';
import { ALGORITHMS, machineProvider, signingKey } from './provider.mjs';

const { tls, clients, alg, ttl, audience, ...pretended } = await readOptions();

const server = tlsServer(tls);
const port = await listen(server);
const issuer = pretended.issuer ?? `https://127.0.0.1:${port}`;
const groupsOf = new Map(clients.map(({ client_id: id, groups }) => [id, groups]));
const keys = [signingKey(alg, pretended.kid)];

// oidc-provider takes its keys once and for all, so a rotation is a new provider of the same name.
function serveWithKeys() {
  const provider = machineProvider(issuer, {
    keys,
    clients: clients.map(({ client_id, client_secret }) => ({ client_id, client_secret })),
    resource: { identifier: 'urn:jitgate', audience, scopes: [], ttl },
    extraTokenClaims: (ctx, token) => ({ groups: groupsOf.get(token.clientId) }),
  });
  server.removeAllListeners('request');
  server.on('request', provider.callback());
}

function rotate(to) {
  keys.unshift(signingKey(to));
  serveWithKeys();
  return { kid: keys[0].kid };
}

serveWithKeys();
const control = await listenForControl({
  'POST /control/rotate': () => rotate(keys[0].alg),
  ...Object.fromEntries(
    ALGORITHMS.map((to) => [`POST /control/rotate/${to}`, () => rotate(to)]),
  ),
  'POST /control/withdraw': () => {
    keys.length = 1;
    serveWithKeys();
  },
});
ready({ port, control, issuer });
