/* cload: epoll + OpenSSL HTTP/1.1 load generator through an HTTP CONNECT proxy (or direct TLS).
 * gcc -O2 -o cload cload.c -lssl -lcrypto
 * -P ip:port   TCP peer (the proxy, or the TLS server when -D)
 * -D           direct: no CONNECT, TLS straight to the peer
 * -h host:port CONNECT target and SNI; with %d in it: a new number each connection, from -s
 * -u path      -c concurrency  -t seconds (max)  -n requests (max, 0 = none)
 * -m ka|new|hold   hold: each connection does one request, then stays open for -w seconds
 * -r ramp      at most so many connections in set-up at once
 * -C ca.pem    verify chain and host name     -2  TLS 1.2 only
 * -A header    one more header line for CONNECT, e.g. -A "Proxy-Authorization: Bearer ..."
 * -X path      with -m hold: after -w seconds every held connection asks for path at the same moment; p50/p99/done are of those
 * -W           warm up: start counting (and print READY) only when every connection has done one request
 * One JSON line on stdout: done counts from READY on, all counts from the start. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <signal.h>
enum { S_FREE, S_TCP, S_CONNW, S_CONNR, S_HS, S_REQ, S_RESP, S_IDLE };
typedef struct {
  int fd, st, nreq; SSL *ssl; uint32_t ev;
  double t0, tc; char host[128]; char hb[4096]; int hl; int hdr_done, chunked, close_after; long need, got; char tail[5];
  char out[8192]; int ol, oo;
} C;
static struct sockaddr_in peer; static SSL_CTX *ctx; static int ep, direct, mode, ramp = 1 << 30, setup, verify;
static char *hostpat = "okta.bench.test:19443", *path = "/obj"; static long hostn; static int pat;
static long done, all, started, maxreq, errs, e_tcp, e_conn, e_tls, e_http, e_eof, non200, nconn, bytes, held, lost; static double tend;
static uint32_t *lat; static long nlat, caplat = 4000000; static uint32_t *clat; static long nclat;
static char lasterr[256] = ""; static const char *auth = "";
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void arm(C *c, uint32_t ev) { if (c->ev == ev) return; struct epoll_event e = {ev, {.ptr = c}}; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); c->ev = ev; }
static void drop(C *c, int ok) {
  if (c->st == S_FREE) return;
  if (c->st < S_REQ) setup--;
  if (c->ssl) { if (ok) SSL_shutdown(c->ssl); SSL_free(c->ssl); c->ssl = 0; }
  struct linger l = {1, 0}; if (!ok) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(c->fd); c->st = S_FREE;
}
static void fail(C *c, long *k) { errs++; (*k)++; started--; drop(c, 0); }
static int want_more(void) { return now() < tend && (!maxreq || started < maxreq); }
static void step(C *c);
static void open_c(C *c) {
  memset(c, 0, sizeof *c); c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (pat) { char hb[128]; snprintf(hb, sizeof hb, hostpat, (int)hostn++); strcpy(c->host, hb); } else strcpy(c->host, hostpat);
  c->t0 = c->tc = now(); started++; nconn++; setup++; c->st = S_TCP;
  int r = connect(c->fd, (struct sockaddr *)&peer, sizeof peer);
  struct epoll_event e = {EPOLLOUT, {.ptr = c}}; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e); c->ev = EPOLLOUT;
  if (r < 0 && errno != EINPROGRESS) { snprintf(lasterr, sizeof lasterr, "connect: %s", strerror(errno)); fail(c, &e_tcp); }
}
static void mkreq(C *c) {
  c->ol = snprintf(c->out, sizeof c->out, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cload/1\r\nAccept: application/json\r\nAuthorization: SSWS 00abcdefghijklmnopqrstuvwxyz0123456789\r\n%s\r\n", path, c->host, mode == 1 ? "Connection: close\r\n" : "");
  c->oo = 0; c->hl = 0; c->hdr_done = 0; c->chunked = 0; c->need = -1; c->got = 0; memset(c->tail, 0, 5);
}
static void start_tls(C *c) {
  c->ssl = SSL_new(ctx); SSL_set_fd(c->ssl, c->fd); char h[128]; strcpy(h, c->host); char *p = strrchr(h, ':'); if (p) *p = 0;
  SSL_set_tlsext_host_name(c->ssl, h); if (verify) SSL_set1_host(c->ssl, h); SSL_set_connect_state(c->ssl); c->st = S_HS;
}
static int sslwait(C *c, int r) {
  int e = SSL_get_error(c->ssl, r);
  if (e == SSL_ERROR_WANT_READ) { arm(c, EPOLLIN); return 0; }
  if (e == SSL_ERROR_WANT_WRITE) { arm(c, EPOLLOUT); return 0; }
  unsigned long q = ERR_peek_error(); if (q) ERR_error_string_n(q, lasterr, sizeof lasterr); ERR_clear_error(); return 1;
}
static void tailpush(C *c, const char *b, long n) { if (n >= 5) memcpy(c->tail, b + n - 5, 5); else { memmove(c->tail, c->tail + n, 5 - n); memcpy(c->tail + 5 - n, b, n); } }
static void complete(C *c) {
  double t = now(); if (nlat < caplat) lat[nlat++] = (t - c->t0) * 1e6; done++; all++; c->nreq++;
  if (mode == 2) { c->st = S_IDLE; held++; arm(c, EPOLLIN); return; }
  if (mode == 1 || c->close_after) { drop(c, 1); return; }
  if (!want_more()) { drop(c, 1); return; }
  started++; c->t0 = t; mkreq(c); c->st = S_REQ;
}
static char rb[65536];
static void step(C *c) {
  int r;
  for (;;) switch (c->st) {
    case S_TCP: { int e = 0; socklen_t l = sizeof e; getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
      if (e) { snprintf(lasterr, sizeof lasterr, "tcp: %s", strerror(e)); fail(c, &e_tcp); return; }
      if (direct) { start_tls(c); break; }
      c->ol = snprintf(c->out, sizeof c->out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cload/1\r\n%s%s\r\n", c->host, c->host, auth, *auth ? "\r\n" : ""); c->oo = 0; c->st = S_CONNW; break; }
    case S_CONNW: r = write(c->fd, c->out + c->oo, c->ol - c->oo);
      if (r < 0) { if (errno == EAGAIN) { arm(c, EPOLLOUT); return; } fail(c, &e_conn); return; }
      c->oo += r; if (c->oo == c->ol) { c->st = S_CONNR; c->hl = 0; arm(c, EPOLLIN); } break;
    case S_CONNR: r = read(c->fd, c->hb + c->hl, sizeof c->hb - 1 - c->hl);
      if (r < 0 && errno == EAGAIN) { arm(c, EPOLLIN); return; }
      if (r <= 0) { snprintf(lasterr, sizeof lasterr, "CONNECT eof/%s", r < 0 ? strerror(errno) : "eof"); fail(c, &e_conn); return; }
      c->hl += r; c->hb[c->hl] = 0; if (!strstr(c->hb, "\r\n\r\n")) break;
      if (strncmp(c->hb + 8, " 200", 4)) { snprintf(lasterr, sizeof lasterr, "%.60s", c->hb); fail(c, &e_conn); return; }
      start_tls(c); break;
    case S_HS: r = SSL_do_handshake(c->ssl);
      if (r == 1) { setup--; if (nclat < caplat) clat[nclat++] = (now() - c->tc) * 1e6; mkreq(c); c->st = S_REQ; break; }
      if (sslwait(c, r)) { fail(c, &e_tls); } return;
    case S_REQ: r = SSL_write(c->ssl, c->out, c->ol); if (r > 0) { c->st = S_RESP; break; }
      if (sslwait(c, r)) fail(c, &e_http); return;
    case S_RESP: r = SSL_read(c->ssl, rb, sizeof rb);
      if (r <= 0) { if (sslwait(c, r)) { if (c->nreq && !c->hl) e_eof++; fail(c, &e_http); } return; }
      { bytes += r; char *b = rb; long n = r;
        if (!c->hdr_done) { long cp = n < (long)sizeof c->hb - 1 - c->hl ? n : (long)sizeof c->hb - 1 - c->hl; memcpy(c->hb + c->hl, b, cp); int old = c->hl; c->hl += cp; c->hb[c->hl] = 0;
          char *e = strstr(c->hb, "\r\n\r\n"); if (!e) { arm(c, EPOLLIN); break; }
          c->hdr_done = 1; if (strncmp(c->hb + 8, " 200", 4)) { non200++; snprintf(lasterr, sizeof lasterr, "%.80s", c->hb); }
          char *p = strcasestr(c->hb, "\r\ncontent-length:"); if (p && p < e) c->need = atol(p + 17);
          p = strcasestr(c->hb, "\r\ntransfer-encoding: chunked"); if (p && p < e) c->chunked = 1;
          p = strcasestr(c->hb, "\r\nconnection: close"); if (p && p < e) c->close_after = 1;
          long used = (e + 4 - c->hb) - old; b += used; n -= used; }
        c->got += n; if (n > 0) tailpush(c, b, n);
        if (c->chunked ? !memcmp(c->tail, "0\r\n\r\n", 5) : (c->need >= 0 && c->got >= c->need)) { complete(c); if (c->st == S_FREE || c->st == S_IDLE) return; } }
      break;
    case S_IDLE: r = SSL_read(c->ssl, rb, sizeof rb); if (r <= 0 && sslwait(c, r)) { lost++; held--; drop(c, 0); } return;
    default: return;
  }
}
static int cmp(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static double pc(uint32_t *a, long n, double q) { if (!n) return 0; long i = q * (n - 1) + 0.5; return a[i] / 1000.0; }
int main(int ac, char **av) {
  int o, conc = 1; double tmax = 3, hold = 10; char *ca = 0, *xpath = 0, *P = "127.0.0.1:19443"; int v12 = 0, W = 0; double cpu0 = 0; signal(SIGPIPE, SIG_IGN);
  while ((o = getopt(ac, av, "P:Dh:s:u:c:t:n:m:r:C:w:2WA:X:")) != -1) switch (o) {
    case 'P': P = optarg; break; case 'D': direct = 1; break; case 'h': hostpat = optarg; break; case 's': hostn = atol(optarg); break;
    case 'u': path = optarg; break; case 'c': conc = atoi(optarg); break; case 't': tmax = atof(optarg); break; case 'n': maxreq = atol(optarg); break;
    case 'm': mode = !strcmp(optarg, "new") ? 1 : !strcmp(optarg, "hold") ? 2 : 0; break; case 'r': ramp = atoi(optarg); break;
    case 'C': ca = optarg; break; case 'w': hold = atof(optarg); break; case '2': v12 = 1; break; case 'W': W = 1; break; case 'A': auth = optarg; break; case 'X': xpath = optarg; break; default: return 2; }
  pat = strchr(hostpat, '%') != 0; char *pp = strdup(P), *q = strchr(pp, ':'); *q = 0; peer.sin_family = AF_INET; peer.sin_port = htons(atoi(q + 1)); inet_pton(AF_INET, pp, &peer.sin_addr);
  struct rlimit rl = {20000, 20000}; setrlimit(RLIMIT_NOFILE, &rl);
  ctx = SSL_CTX_new(TLS_client_method()); SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); if (v12) SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_alpn_protos(ctx, (unsigned char *)"\x08http/1.1", 9);
  if (ca) { verify = 1; SSL_CTX_load_verify_locations(ctx, ca, 0); SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, 0); }
  lat = malloc(caplat * 4); clat = malloc(caplat * 4); ep = epoll_create1(0); C *cs = calloc(conc, sizeof *cs); struct epoll_event ev[512];
  if (mode == 2) maxreq = conc;
  double t0 = now(), tl = t0; tend = t0 + tmax + (W ? 30 : 0); double theld = 0, tx = 0;
  for (;;) {
    double t = now(); long live = 0, idle = 0;
    for (int i = 0; i < conc; i++) { if (cs[i].st == S_FREE && errs < 2000 && want_more() && setup < ramp) open_c(&cs[i]); if (cs[i].st == S_IDLE) idle++; else if (cs[i].st != S_FREE) live++; }
    if (W) { int rdy = 0; for (int i = 0; i < conc; i++) rdy += cs[i].nreq > 0; if (rdy == conc || t > t0 + 30) { struct rusage u; getrusage(RUSAGE_SELF, &u); cpu0 = u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
      printf("READY %d\n", rdy); fflush(stdout); W = 0; t0 = now(); tend = t0 + tmax; done = 0; bytes = 0; nlat = 0; } }
    if (mode == 2 && !theld && !live && (idle >= conc || !want_more())) { theld = t; printf("HELD %ld\n", idle); fflush(stdout); }
    if (mode == 2 && theld && t > theld + hold && !xpath) break;
    if (mode == 2 && theld && t > theld + hold && xpath && !tx) { tx = t; tend = 0; path = xpath; done = 0; nlat = 0; long n = 0;
      for (int i = 0; i < conc; i++) if (cs[i].st == S_IDLE) { held--; n++; cs[i].t0 = now(); mkreq(&cs[i]); cs[i].st = S_REQ; step(&cs[i]); }
      printf("SENT %ld\n", n); fflush(stdout); continue; }
    if (tx && (!live || t > tx + 60)) { errs += live; break; }
    if (mode != 2 && !live) break;
    if (mode != 2 && t > tend + 20) { errs += live; snprintf(lasterr, sizeof lasterr, "stuck %ld", live); break; }
    if (mode == 2 && !theld && t > tend + 20) { theld = t; printf("HELD %ld\n", idle); fflush(stdout); }
    do { int n = epoll_wait(ep, ev, 512, 100); for (int i = 0; i < n; i++) step(ev[i].data.ptr); t = now(); } while (0);
    tl = t;
  }
  if (mode != 2 && tl < tend && !maxreq) tend = tl; double el = (mode == 2 ? theld : tl) - t0; struct rusage ru; getrusage(RUSAGE_SELF, &ru); double cpu = ru.ru_utime.tv_sec + ru.ru_stime.tv_sec + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6 - cpu0;
  qsort(lat, nlat, 4, cmp); qsort(clat, nclat, 4, cmp);
  printf("{\"done\":%ld,\"all\":%ld,\"el\":%.3f,\"rps\":%.1f,\"MBps\":%.1f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"min\":%.3f,\"nconn\":%ld,\"hs50\":%.3f,\"hs99\":%.3f,\"errs\":%ld,\"non200\":%ld,\"e\":[%ld,%ld,%ld,%ld,%ld],\"held\":%ld,\"lost\":%ld,\"lgcpu\":%.3f,\"last\":\"%s\"}\n",
    done, all, el, done / el, bytes / el / 1e6, pc(lat, nlat, .5), pc(lat, nlat, .99), pc(lat, nlat, 1), pc(lat, nlat, 0), nconn, pc(clat, nclat, .5), pc(clat, nclat, .99), errs, non200, e_tcp, e_conn, e_tls, e_http, e_eof, held, lost, cpu, "");
  if (lasterr[0]) fprintf(stderr, "last: %s\n", lasterr);
  return 0;
}
