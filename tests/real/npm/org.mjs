// An Okta org: its org authorization server is a real oidc-provider, its management API is
// emulate's Okta service, and between them stands a checker that is stricter than Okta itself:
// a token must carry exactly the scope that the operation needs, and no other.
//
// Options: {tls: {cert, key}, clients: [{client_id, jwks, scopes, dpop}], seed}; `scopes` are those
// granted to a client, `seed` is emulate's own seed for its Okta service.
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { createEmulator } from 'emulate';
import { orgAuthority } from './authority.mjs';
import { Refused } from './checker.mjs';
import { endToEnd, journaled } from './journal.mjs';
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';

const HOST = 'acme.okta.example';
const ISSUER = `https://${HOST}`;

// Written by hand from Okta's reference, so that it owes nothing to the catalogue under test.
const OPERATIONS = [
  ['GET', /^\/api\/v1\/users$/, 'okta.users.read'],
  ['GET', /^\/api\/v1\/users\/[^/]+$/, 'okta.users.read'],
  ['POST', /^\/api\/v1\/users$/, 'okta.users.manage'],
  ['POST', /^\/api\/v1\/users\/[^/]+\/lifecycle\/deactivate$/, 'okta.users.manage'],
  ['POST', /^\/api\/v1\/users\/[^/]+\/lifecycle\/suspend$/, 'okta.users.manage'],
  ['POST', /^\/api\/v1\/users\/[^/]+\/roles$/, 'okta.roles.manage'],
  ['GET', /^\/api\/v1\/groups$/, 'okta.groups.read'],
  ['POST', /^\/api\/v1\/groups$/, 'okta.groups.manage'],
  ['GET', /^\/api\/v1\/groups\/[^/]+\/users$/, 'okta.groups.read'],
  ['GET', /^\/api\/v1\/apps$/, 'okta.apps.read'],
  ['GET', /^\/api\/v1\/apps\/[^/]+$/, 'okta.apps.read'],
];

const { tls, clients, seed } = await readOptions();
const authority = orgAuthority(HOST, clients);

// --- what a call needs

async function manage(req, res, body, entry) {
  const operation = OPERATIONS.find(
    ([method, path]) => method === req.method && path.test(entry.path),
  );
  if (await authority.access(req, res, entry, operation ? [operation[2]] : [])) return;
  if (!operation) throw new Refused(404, 'unknown', 'no such operation here');
  forward(req, res, body);
}

// --- the management API

// emulate tells only the base URL that it advertises, so its port is seen as it begins to listen.
let emulatorPort;
subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => {
  emulatorPort ??= server.address().port;
});
const emulator = await createEmulator({
  service: 'okta',
  port: 0,
  hostname: '127.0.0.1',
  baseUrl: ISSUER,
  seed: { okta: seed },
});

// emulate's sample app lacks fields that every app at Okta has; for want of them Okta's own SDK
// rejects the whole list of apps.
async function removeSampleApp() {
  const call = (method, path) => fetch(`http://127.0.0.1:${emulatorPort}/api/v1/apps${path}`, {
    method,
    headers: { authorization: 'Bearer any' },
  });
  const apps = await (await call('GET', '')).json();
  const { id } = apps.find(({ name }) => name === 'oidc_client');
  await call('POST', `/${id}/lifecycle/deactivate`);
  await call('DELETE', `/${id}`);
}

await removeSampleApp();

function forward(req, res, body) {
  const request = http.request({
    host: '127.0.0.1',
    port: emulatorPort,
    method: req.method,
    path: req.url,
    headers: { ...endToEnd(req.headers), host: HOST },
  }, (answer) => {
    res.writeHead(answer.statusCode, endToEnd(answer.headers));
    answer.pipe(res);
  });
  request.on('error', (error) => res.destroy(error));
  request.end(body);
}

// --- what the test reads

async function serve(req, res, body, entry) {
  await authority.guarded(req, res, entry, async () => {
    if (authority.isFor(entry.path)) {
      await authority.authorize(req, res, body, entry);
    } else {
      await manage(req, res, body, entry);
    }
  });
}

const server = tlsServer(tls);
const journal = journaled(server, HOST, serve);
const port = await listen(server);
const control = await listenForControl({
  'GET /journal': () => journal,
  'POST /journal/clear': () => { journal.length = 0; },
  ...authority.actions,
  'POST /reset': () => {
    emulator.reset();
    return removeSampleApp();
  },
});
ready({ port, control });
