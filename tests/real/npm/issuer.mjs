// The agents' own OIDC issuer: real discovery, keys and tokens, with each client's groups in them.
//
// Options: {tls: {cert, key}, clients: [{client_id, client_secret, groups}], alg, ttl, audience}.
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';
import { machineProvider, signingKey } from './provider.mjs';

const { tls, clients, alg, ttl, audience } = await readOptions();

const server = tlsServer(tls);
const port = await listen(server);
const issuer = `https://127.0.0.1:${port}`;
const groupsOf = new Map(clients.map(({ client_id: id, groups }) => [id, groups]));
const keys = [signingKey(alg)];

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

serveWithKeys();
const control = await listenForControl({
  'POST /control/rotate': () => {
    keys.unshift(signingKey(alg));
    serveWithKeys();
    return { kid: keys[0].kid };
  },
});
ready({ port, control, issuer });
