// Services as emulate has them, each under a host of its own behind one TLS port, with a journal of
// what arrived.
//
// Options: {tls: {cert, key}, services: {host: {service, seed}}}; `service` and `seed` are emulate's
// own: the service's name, and what it holds at the start.
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';
import { createEmulator } from 'emulate';
import { listen, listenForControl, readOptions, ready, tlsServer } from './program.mjs';

const { tls, services } = await readOptions();
const journal = [];

// emulate tells only the base URL that it advertises, so its port is seen as it begins to listen.
let listening;
subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => {
  listening = server.address().port;
});
const portOf = new Map();
for (const [host, { service, seed }] of Object.entries(services)) {
  await createEmulator({ service, port: 0, hostname: '127.0.0.1', baseUrl: `https://${host}`, seed });
  portOf.set(host, listening);
}

async function serve(req, res) {
  const { host } = req.headers;
  const body = await buffer(req);
  const entry = { host, method: req.method, path: new URL(req.url, `https://${host}`).pathname };
  journal.push(entry);
  const request = http.request({
    host: '127.0.0.1',
    port: portOf.get(host),
    method: req.method,
    path: req.url,
    headers: req.headers,
  }, (answer) => {
    entry.status = answer.statusCode;
    const { 'transfer-encoding': _, connection: __, ...headers } = answer.headers;
    // emulate makes links to other pages from the plain connection that it sees.
    if (headers.link) headers.link = headers.link.replaceAll('http://', 'https://');
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
