// GitHub's API as emulate has it, behind TLS, with a journal of what arrived.
//
// Options: {tls: {cert, key}, seed}; `seed` is emulate's own seed for its GitHub service.
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';
import { createEmulator } from 'emulate';
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';

const HOST = 'api.github.example';

const { tls, seed } = await readOptions();
const journal = [];

// emulate tells only the base URL that it advertises, so its port is seen as it begins to listen.
let emulatorPort;
subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => {
  emulatorPort ??= server.address().port;
});
await createEmulator({
  service: 'github',
  port: 0,
  hostname: '127.0.0.1',
  baseUrl: `https://${HOST}`,
  seed,
});

async function serve(req, res) {
  const body = await buffer(req);
  const entry = { method: req.method, path: new URL(req.url, `https://${HOST}`).pathname };
  journal.push(entry);
  const request = http.request({
    host: '127.0.0.1',
    port: emulatorPort,
    method: req.method,
    path: req.url,
    headers: { ...req.headers, host: HOST },
  }, (answer) => {
    entry.status = answer.statusCode;
    const { 'transfer-encoding': _, connection: __, ...headers } = answer.headers;
    res.writeHead(answer.statusCode, headers);
    answer.pipe(res);
  });
  request.on('error', (error) => res.destroy(error));
  request.end(body);
}

const server = tlsServer(tls).on('request', (req, res) => {
  serve(req, res).catch((error) => res.destroy(error));
});
const port = await listen(server);
const control = await listenForControl({ 'GET /journal': () => journal });
ready({ port, control });
