// The status page: asks for /status.json every two seconds and shows it. SECTIONS says what is shown; a section whose part of the answer is
// missing is left out. The server sends totals, and the page makes rates of them, over the last minute that it has seen.
//
// All texts are put in as text (textContent), never as markup: names of keys, policies and users are whatever clients have sent.
"use strict";

const EVERY_MS = 2000; // between two questions
const PATIENCE_MS = 10000; // for an answer
const WINDOW_US = 60e6; // what rates are made of
const TREND = 30; // points of a curve
const USERS_SHOWN = 64;
// Of maxmemory, while nothing is evicted: those of the alerts PinfoldMemoryHigh and PinfoldMemoryCritical.
const MEMORY_HIGH = 0.8;
const MEMORY_CRITICAL = 0.95;

// --- Numbers with their units ---

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const UNKNOWN = "–";

const known = (number) => typeof number === "number" && Number.isFinite(number);
const singular = (unit) => unit.replace(/ies$/, "y").replace(/s$/, "");
const inUnit = (number, unit) => (known(number) ? `${whole.format(number)} ${number === 1 ? singular(unit) : unit}` : UNKNOWN);
const perSecond = (number, unit) => (known(number) ? `${(number < 100 ? short : whole).format(number)} ${unit}/s` : UNKNOWN);
const percent = (share) => (known(share) ? `${short.format(100 * share)} %` : UNKNOWN);

function bytes(number, per = "") {
  if (!known(number)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (Math.abs(number) >= 1024 && unit + 1 < units.length) {
    number /= 1024;
    unit += 1;
  }
  return `${(unit === 0 ? whole : exact).format(number)} ${units[unit]}${per}`;
}

function seconds(number) {
  if (!known(number)) return UNKNOWN;
  if (number < 1e-3) return `${short.format(number * 1e6)} µs`;
  if (number < 1) return `${short.format(number * 1e3)} ms`;
  return `${short.format(number)} s`;
}

function duration(number) {
  if (!known(number)) return UNKNOWN;
  const parts = [[number < 2 * 86400 ? "day" : "days", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => number >= size);
  if (first < 0) return "0 s";
  let rest = number;
  const shown = [];
  for (const [unit, size] of parts.slice(first, first + 2)) {
    shown.push(`${whole.format(Math.floor(rest / size))} ${unit}`);
    rest %= size;
  }
  return shown.join(" ");
}

const day = (unixSeconds) => (unixSeconds > 0 ? new Date(unixSeconds * 1000).toISOString().slice(0, 10) : "none");
const clockTime = (unixSeconds) => new Date(unixSeconds * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";

// --- What was answered lately ---

/** The last answers: the newest, and those of a minute before it. */
class View {
  polls = [];

  add(answer) {
    const last = this.polls.at(-1);
    if (last && last.at_us === answer.at_us) return; // the server keeps an answer for a second
    const wentBack = last && (last.server.run_id !== answer.server.run_id || last.stats.total_commands_processed > answer.stats.total_commands_processed);
    if (wentBack) this.polls = []; // another process, or CONFIG RESETSTAT
    this.polls.push(answer);
    while (this.polls.length > 2 && answer.at_us - this.polls[0].at_us > WINDOW_US) this.polls.shift();
  }

  get now() {
    return this.polls.at(-1);
  }

  /** A figure by its place: "stats.keyspace_hits". */
  value(place, poll = this.now) {
    return place.split(".").reduce((at, name) => at?.[name], poll);
  }

  /** By how much a sum of figures has grown since an earlier answer; NaN if there is none. */
  grown(places, from = this.polls[0], to = this.now) {
    if (from === to) return NaN;
    return [places].flat().reduce((sum, place) => sum + this.value(place, to) - this.value(place, from), 0);
  }

  rate(places, from = this.polls[0], to = this.now) {
    return this.grown(places, from, to) / ((to.at_us - from.at_us) / 1e6);
  }

  /** The same for one row of a list, which `key` names. A row that was not there has begun at 0. */
  rowRate(list, key, row, field) {
    const [from, to] = [this.polls[0], this.now];
    if (from === to) return NaN;
    if (!from.rows) Object.defineProperty(from, "rows", { value: {} });
    from.rows[list] ??= new Map((from[list] ?? []).map((one) => [one[key], one]));
    const before = from.rows[list].get(row[key])?.[field] ?? 0;
    return Math.max(row[field] - before, 0) / ((to.at_us - from.at_us) / 1e6);
  }

  /** What `measure(from, to)` says of each two answers that follow each other. */
  trend(measure) {
    const values = [];
    for (let i = Math.max(1, this.polls.length - TREND); i < this.polls.length; i += 1) values.push(measure(this.polls[i - 1], this.polls[i]));
    return values;
  }
}

// --- What is shown ---

// A figure in a list: its label, its place in the answer, and how it is shown.
const total = (label, place, unit) => ({ label, place, show: (view) => inUnit(view.value(place), unit) });
const rate = (label, place, unit) => ({ label, place: `${place}/s`, show: (view) => perSecond(view.rate(place), unit) });
const size = (label, place) => ({ label, place, show: (view) => bytes(view.value(place)) });
const made = (label, place, show) => ({ label, place, show });
const part = (label, place, of) => ({ ...size(label, place), share: (view) => view.value(place) / view.value(of) });
const ofLimit = (label, place, limit, unit) =>
  made(label, place, (view) => `${inUnit(view.value(place), unit)} of ${whole.format(view.value(limit))}`);

// A column of a table. `words` are aligned as text is; `name` is a text of a client.
const column = (title, show, options = {}) => ({ title, show, ...options });
const nameColumn = (title, field) => column(title, (row) => row[field], { words: true, name: true });
const rateColumn = (title, list, key, field, unit) => column(title, (row, view) => perSecond(view.rowRate(list, key, row, field), unit));

const HITS = "stats.keyspace_hits";
const MISSES = "stats.keyspace_misses";
// Reads that were answered are those that found a fresh value, and of the others those that got a stale value or were told that there is none.
const ANSWERED = [HITS, "cache.stale_hits", "cache.negative_hits"];
function hitRatio(view, from, to) {
  const reads = view.grown([HITS, MISSES], from, to);
  return reads > 0 ? Math.min(view.grown(ANSWERED, from, to) / reads, 1) : NaN;
}
function hitRatioOfAll(view) {
  const sum = (places) => places.reduce((all, place) => all + view.value(place), 0);
  const reads = sum([HITS, MISSES]);
  return reads > 0 ? percent(Math.min(sum(ANSWERED) / reads, 1)) : "no reads";
}
function policyHitRatio(row, view) {
  const rateOf = (field) => view.rowRate("policies", "name", row, field);
  const answered = rateOf("hits") + rateOf("stale_hits") + rateOf("negative_hits");
  const reads = answered + rateOf("misses");
  return known(reads) ? (reads > 0 ? percent(answered / reads) : "no reads") : UNKNOWN;
}
function policyLoadTime(row, view) {
  const loads = view.rowRate("policies", "name", row, "loads");
  return loads > 0 ? seconds(view.rowRate("policies", "name", row, "load_ms") / loads / 1000) : "no loads";
}
const isOn = (one) => one.on || one.policies > 0; // a switch, for all keys or for those of some policies
// What a setting is when its switch is on.
const SWITCHED_ON = { "serve-stale": "serve-stale yes", bypass: "bypass yes", admit: "admit below 100 %", "max-leases": "max-leases 0" };
const switchValue = ({ name, value }) => (name === "max-leases" ? `at most ${inUnit(parseInt(value, 10), "leases")}` : value);
const dataBytes = (view) => view.value("memory.used_memory") - view.value("memory.used_memory_clients");

const SECTIONS = [
  {
    id: "hit-ratio", title: "Hit ratio", needs: "stats",
    headline: (view) => (view.polls.length < 2 ? UNKNOWN : known(hitRatio(view)) ? percent(hitRatio(view)) : "no reads"),
    trend: { of: "Hit ratio", measure: hitRatio, show: percent, from: 0, to: 1 },
    rows: [
      rate("Fresh values", HITS, "reads"),
      rate("Stale values", "cache.stale_hits", "reads"),
      rate("Known not to exist", "cache.negative_hits", "reads"),
      rate("No fresh value (keyspace_misses)", MISSES, "reads"),
      made("Hit ratio since the start or CONFIG RESETSTAT", "hit-ratio.all", hitRatioOfAll),
      total("Hits in all", HITS, "reads"),
      total("Misses in all", MISSES, "reads"),
    ],
  },
  {
    id: "traffic", title: "Traffic", needs: "stats",
    headline: (view) => perSecond(view.rate("stats.total_commands_processed"), "commands"),
    trend: { of: "Commands per second", measure: (view, from, to) => view.rate("stats.total_commands_processed", from, to), show: (n) => perSecond(n, "commands"), from: 0 },
    rows: [
      made("In", "stats.total_net_input_bytes/s", (view) => bytes(view.rate("stats.total_net_input_bytes"), "/s")),
      made("Out", "stats.total_net_output_bytes/s", (view) => bytes(view.rate("stats.total_net_output_bytes"), "/s")),
      rate("Replies that are errors", "stats.total_error_replies", "replies"),
      made("CPU", "cpu", (view) => `${known(view.rate("cpu.used_cpu_user")) ? exact.format(view.rate(["cpu.used_cpu_user", "cpu.used_cpu_sys"])) : UNKNOWN} cores`),
      ofLimit("Clients", "clients.connected_clients", "clients.maxclients", "clients"),
      total("Clients that wait", "clients.blocked_clients", "clients"),
      total("Commands in all", "stats.total_commands_processed", "commands"),
    ],
  },
  {
    id: "memory", title: "Memory", needs: "memory",
    headline: (view) => bytes(dataBytes(view)) + (view.value("memory.maxmemory") > 0 ? ` of ${bytes(view.value("memory.maxmemory"))}` : ""),
    meter: { of: "Memory for data, of maxmemory", share: (view) => dataBytes(view) / view.value("memory.maxmemory"), evicts: (view) => view.grown("stats.evicted_keys") !== 0 },
    rows: [
      part("Segments (small keys and values)", "memory.used_memory_segments", "memory.used_memory"),
      part("Blobs (large values)", "memory.used_memory_blobs", "memory.used_memory"),
      part("Index", "memory.used_memory_index", "memory.used_memory"),
      part("Ghosts (of evicted keys)", "memory.used_memory_ghosts", "memory.used_memory"),
      part("Leases, waiting clients and purges", "memory.used_memory_herd", "memory.used_memory"),
      part("Samples of the traffic", "memory.used_memory_sampling", "memory.used_memory"),
      part("Clients", "memory.used_memory_clients", "memory.used_memory"),
      size("All of these", "memory.used_memory"),
      size("The most that it was", "memory.used_memory_peak"),
      size("Resident in the machine", "memory.used_memory_rss"),
      made("Resident divided by used", "memory.mem_fragmentation_ratio", (view) => `${exact.format(view.value("memory.mem_fragmentation_ratio"))} times`),
    ],
  },
  {
    id: "evictions", title: "Evicted and expired", needs: "stats",
    headline: (view) => perSecond(view.rate("stats.evicted_keys"), "evicted keys"),
    trend: { of: "Evicted keys per second", measure: (view, from, to) => view.rate("stats.evicted_keys", from, to), show: (n) => perSecond(n, "keys"), from: 0 },
    rows: [
      rate("Expired", "stats.expired_keys", "keys"),
      total("Evicted in all", "stats.evicted_keys", "keys"),
      total("Expired in all", "stats.expired_keys", "keys"),
      made("Eviction policy", "memory.maxmemory_policy", (view) => view.value("memory.maxmemory_policy")),
    ],
  },
  {
    id: "leases", title: "Leases and waiting clients", needs: "cache",
    headline: (view) => inUnit(view.value("cache.lease_waiters"), "waiting clients"),
    trend: { of: "Waiting clients", measure: (view, from, to) => view.value("cache.lease_waiters", to), show: (n) => inUnit(n, "clients"), from: 0 },
    rows: [
      ofLimit("Leases held", "cache.leases", "cache.max_leases", "leases"),
      ofLimit("Waiting clients", "cache.lease_waiters", "limits.max_lease_waiters", "clients"),
      rate("Granted", "cache.lease_granted", "leases"),
      rate("Filled", "cache.lease_filled", "leases"),
      rate("Voided by writes", "cache.lease_voided", "leases"),
      rate("Released", "cache.lease_released", "leases"),
      rate("Ran out unfilled", "cache.lease_expired", "leases"),
      rate("Refused for want of room", "cache.lease_refused", "leases"),
      rate("Waits refused", "cache.lease_waits_refused", "waits"),
      rate("Fills refused", "cache.fill_refused", "fills"),
      total("Purges not swept yet", "cache.purges_pending", "purges"),
    ],
  },
  {
    id: "switches", title: "Switches", needs: "switches",
    headline: (view) => {
      const on = view.now.switches.filter(isOn).length;
      return on === 0 ? "all off" : `${whole.format(on)} on`;
    },
    table: {
      rows: (view) => view.now.switches,
      columns: [
        column("Switch", (row) => SWITCHED_ON[row.name] ?? row.name, { words: true }),
        column("State", (row) => (row.on ? "on" : isOn(row) ? "on in part" : "off"), { words: true, mark: isOn }),
        column("Setting", switchValue, { words: true }),
        column("Policies", (row) => (row.policies > 0 ? inUnit(row.policies, "policies") : "none")),
      ],
    },
  },
  {
    id: "latency", title: "Latency", needs: "latency", wide: true, note: "Of the calls in the last minute, without the network.",
    table: {
      rows: (view) => view.now.latency.toSorted((a, b) => (b.name === "all") - (a.name === "all") || b.calls - a.calls),
      empty: "No command was called in the last minute, or the setting metrics is off.",
      columns: [
        nameColumn("Command", "name"),
        column("Calls", (row) => inUnit(row.calls, "calls")),
        column("Half of the calls within", (row) => seconds(row.p50)),
        column("99 % within", (row) => seconds(row.p99)),
        column("99.9 % within", (row) => seconds(row.p999)),
        column("Longest", (row) => seconds(row.longest)),
      ],
    },
  },
  {
    id: "hot-keys", title: "Hot keys", needs: "hot_keys", wide: true,
    table: {
      rows: (view) => view.now.hot_keys,
      empty: "No key is asked for much more than others.",
      columns: [
        nameColumn("Key", "key"),
        column("Database", (row) => `db ${row.db}`),
        column("Requests", (row) => perSecond(row.rate, "requests")),
        column("Of all requests", (row) => percent(row.share)),
      ],
    },
  },
  {
    id: "policies", title: "Policies", needs: "policies", wide: true, note: "In the order in which they are compared with keys.",
    table: {
      rows: (view) => view.now.policies,
      empty: "There are no policies.",
      columns: [
        nameColumn("Policy", "name"),
        nameColumn("Keys that match", "match"),
        column("Hit ratio", policyHitRatio),
        rateColumn("Hits", "policies", "name", "hits", "reads"),
        rateColumn("Stale hits", "policies", "name", "stale_hits", "reads"),
        rateColumn("Negative hits", "policies", "name", "negative_hits", "reads"),
        rateColumn("Misses", "policies", "name", "misses", "reads"),
        column("A load takes", policyLoadTime),
        column("Leases held", (row) => inUnit(row.leases, "leases")),
        column("Memory", (row) => bytes(row.bytes)),
        rateColumn("Evicted", "policies", "name", "evicted", "keys"),
      ],
    },
  },
  {
    id: "slow-log", title: "Slow log", needs: "slow_log", wide: true, note: "The newest. They waited for locks and memory besides. SLOWLOG GET has all of them, with their arguments.",
    table: {
      rows: (view) => view.now.slow_log,
      empty: "No command has taken longer than slowlog-log-slower-than.",
      columns: [
        nameColumn("Request", "request"),
        column("Took", (row) => seconds(row.seconds)),
        column("Waited", (row) => seconds(row.waited)),
        column("When", (row) => clockTime(row.at), { words: true }),
        nameColumn("Client", "client"),
      ],
    },
  },
  {
    id: "users", title: "Users", needs: "users", wide: true, note: `Those whose clients take most memory, at most ${USERS_SHOWN}. /metrics has more of them.`,
    table: {
      rows: (view) => view.now.users.slice(0, USERS_SHOWN),
      columns: [
        nameColumn("User", "name"),
        column("Clients", (row) => inUnit(row.clients, "clients")),
        column("Memory", (row) => bytes(row.memory)),
        rateColumn("Requests", "users", "name", "requests", "requests"),
        column("Refused by rate", (row) => inUnit(row.refused, "requests")),
        column("Closed by memory", (row) => inUnit(row.closed, "clients")),
      ],
    },
  },
  {
    id: "commands", title: "Commands", needs: "commands", wide: true, note: "The mean is of all calls since the start or CONFIG RESETSTAT.",
    table: {
      rows: (view) => view.now.commands.toSorted((a, b) => b.calls - a.calls),
      empty: "No command was called yet.",
      columns: [
        nameColumn("Command", "name"),
        rateColumn("Calls", "commands", "name", "calls", "calls"),
        column("Mean time", (row) => seconds(row.usec_per_call / 1e6)),
        column("Calls in all", (row) => inUnit(row.calls, "calls")),
        column("Refused", (row) => inUnit(row.rejected_calls, "calls")),
        column("Failed", (row) => inUnit(row.failed_calls, "calls")),
      ],
    },
  },
  {
    id: "what-if", title: "Hit ratio with other memory", needs: "working_set",
    note: "Estimated from a sample of the keys that are read. PINFOLD.ADVISE says more.",
    table: {
      rows: (view) => {
        const known = view.now.working_set.workingset_state === "known";
        return known ? [0.25, 0.5, 1, 2, 4].map((factor) => ({ factor, ratio: view.now.working_set[`hit_ratio_at_memory_${factor}`] / 100 })) : [];
      },
      empty: "Not known: it takes a maxmemory, keys that are evicted, and some thousand reads (INFO workingset).",
      columns: [column("Memory", (row) => (row.factor === 1 ? "as it is" : `${row.factor} times`), { words: true }), column("Hit ratio", (row) => percent(row.ratio))],
    },
  },
  {
    id: "keys", title: "Keys and values by size", needs: "keys",
    rows: [
      made("Accesses to the hottest key", "keys.hottest_key_share", (view) => percent(view.now.keys.hottest_key_share / 100)),
      ...[1, 5, 10].map((top) => made(`Accesses to the hottest ${top} % of keys`, `keys.hot_key_share_top_${top}`, (view) => percent(view.now.keys[`hot_key_share_top_${top}`] / 100))),
      ...[["64b", "64 B"], ["1kb", "1 KiB"], ["16kb", "16 KiB"], ["256kb", "256 KiB"], ["1mb", "1 MiB"], ["16mb", "16 MiB"]].map(([name, most]) =>
        total(`Values of ${most} or less`, `keys.values_up_to_${name}`, "values"),
      ),
      total("Larger values", "keys.values_larger", "values"),
    ],
  },
  {
    id: "threads", title: "I/O threads", needs: "threads",
    table: {
      rows: (view) => view.now.threads,
      columns: [
        column("Thread", (row) => `thread\u00a0${row.number}`, { words: true }),
        column("Busy", (row, view) => percent(view.rowRate("threads", "number", row, "busy"))),
        column("99 % of rounds within", (row) => seconds(row.round_p99_us / 1e6)),
        column("Longest round", (row) => seconds(row.round_longest_us / 1e6)),
      ],
    },
  },
  {
    id: "databases", title: "Databases", needs: "databases", wide: true,
    table: {
      rows: (view) => view.now.databases,
      empty: "There are no keys.",
      columns: [
        column("Database", (row) => `db ${row.number}`, { words: true }),
        column("Keys", (row) => inUnit(row.keys, "keys")),
        column("With a deadline", (row) => inUnit(row.expires, "keys")),
        column("Mean time left", (row) => (row.expires > 0 ? duration(row.avg_ttl / 1000) : "none")),
      ],
    },
  },
  {
    id: "errors", title: "Errors", needs: "errors",
    table: {
      rows: (view) => view.now.errors,
      empty: "No reply was an error.",
      columns: [nameColumn("Code", "code"), rateColumn("Now", "errors", "code", "count", "replies"), column("In all", (row) => inUnit(row.count, "replies"))],
    },
  },
  {
    id: "security", title: "Refused and denied", needs: "stats",
    rows: [
      total("Connections beyond maxclients", "stats.rejected_connections", "connections"),
      total("Connections of strangers (protected-mode)", "stats.protected_mode_rejections", "connections"),
      total("Wrong names or passwords", "stats.auth_failures", "attempts"),
      total("Requests denied: command", "stats.acl_access_denied_cmd", "requests"),
      total("Requests denied: key", "stats.acl_access_denied_key", "requests"),
      total("Requests beyond a user's rate", "stats.requests_refused_rate", "requests"),
      total("Lines of the audit log that are lost", "stats.audit_lines_lost", "lines"),
    ],
  },
  {
    id: "tls", title: "TLS", needs: "tls", when: (view) => view.value("tls.tls_port") !== "0" || view.value("tls.tls_server_cert_expires_at") > 0, // admin-tls alone has a certificate, too
    rows: [
      total("Clients", "tls.tls_connected_clients", "clients"),
      rate("Handshakes", "tls.tls_handshakes", "handshakes"),
      total("Handshakes that have failed", "tls.tls_handshakes_failed", "handshakes"),
      made("Server's certificate expires", "tls.tls_server_cert_expires_at", (view) => day(view.value("tls.tls_server_cert_expires_at"))),
      made("Authority's certificate expires", "tls.tls_ca_cert_expires_at", (view) => day(view.value("tls.tls_ca_cert_expires_at"))),
    ],
  },
];

// --- Elements ---

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (property in made) made[property] = value;
    else made.setAttribute(property, value);
  }
  made.append(...children);
  return made;
}

/** Changes a text only if it is another one: what is selected stays selected, and screen readers hear of changes only. */
function put(text, into) {
  if (into.textContent !== text) into.textContent = text;
}

/** Makes `parent` have `count` children, each new one made by `make(place)`. */
function resize(parent, count, make) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(make(parent.children.length));
}

// Each of these makes the elements of a part of a section, and returns a function that brings them up to date.

function headlineOf(section, to) {
  const line = element("p", { className: "headline" });
  line.dataset.figure = `${section.id}.headline`;
  to.append(line);
  return (view) => put(section.headline(view), line);
}

const SVG = "http://www.w3.org/2000/svg";
function trendOf({ of, measure, show, from, to: upTo }, to) {
  const [picture, ground, curve] = ["svg", "line", "polyline"].map((name) => document.createElementNS(SVG, name));
  const set = (what, attributes) => Object.entries(attributes).forEach(([name, value]) => what.setAttribute(name, value));
  set(picture, { class: "trend", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img" });
  set(ground, { x1: 0, y1: 29, x2: 100, y2: 29 });
  picture.append(ground, curve);
  to.append(picture);
  return (view) => {
    const values = view.trend((a, b) => measure(view, a, b));
    const numbers = values.filter(known);
    const most = upTo ?? Math.max(...numbers, from + 1e-9);
    const points = values.flatMap((value, i) => (known(value) ? [`${(100 * (TREND - values.length + i)) / (TREND - 1)},${29 - (28 * (value - from)) / (most - from)}`] : []));
    set(curve, { points: points.join(" ") });
    const said = numbers.length === 0 ? "nothing yet" : `from ${show(Math.min(...numbers))} to ${show(Math.max(...numbers))}, now ${show(numbers.at(-1))}`;
    set(picture, { "aria-label": `${of} in the last minute: ${said}` });
  };
}

/** A part of a whole that may be used up. A browser draws it in another colour above the limits; the line below it says the same. */
function meterOf({ of, share, evicts }, to) {
  const meter = element("meter", { min: 0, max: 1, optimum: 0, "aria-label": of });
  const line = element("p");
  to.append(meter, line);
  return (view) => {
    const part = share(view);
    meter.hidden = line.hidden = !known(part);
    if (!known(part)) return;
    const harmless = evicts(view); // a full cache that evicts is as it should be
    meter.low = harmless ? 1 : MEMORY_HIGH;
    meter.high = harmless ? 1 : MEMORY_CRITICAL;
    meter.value = part;
    put(percent(part), meter);
    const state = harmless || part <= MEMORY_HIGH ? "" : part > MEMORY_CRITICAL ? "critical" : "warning";
    line.className = state;
    put(`${percent(part)} of maxmemory${state ? `, and nothing was evicted in the last minute: ${state}` : ""}`, line);
  };
}

function listOf(rows, to) {
  const list = element("dl");
  const updates = rows.map((row) => {
    const value = element("dd");
    value.dataset.figure = row.place;
    list.append(element("dt", {}, row.label), value);
    if (!row.share) return (view) => put(row.show(view), value);
    const filled = element("span");
    list.append(element("div", { className: "bar", "aria-hidden": "true" }, filled));
    return (view) => {
      put(row.show(view), value);
      filled.style.width = `${Math.min(100 * row.share(view), 100) || 0}%`;
    };
  });
  to.append(list);
  return (view) => updates.forEach((update) => update(view));
}

function tableOf(section, to) {
  const { columns, rows, empty } = section.table;
  const nothing = element("p", {}, empty ?? "Nothing.");
  const head = element("tr", {}, ...columns.map(({ title, words }) => element("th", { scope: "col", className: words ? "words" : "" }, title)));
  const body = element("tbody");
  // A table may be wider than a phone: then it scrolls by itself, by keys as well.
  const frame = element(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-labelledby": `${section.id}-title` },
    element("table", { "aria-labelledby": `${section.id}-title` }, element("thead", {}, head), body),
  );
  to.append(nothing, frame);
  const newRow = () =>
    element("tr", {}, ...columns.map(({ words, name }, i) => element(i === 0 ? "th" : "td", { className: words ? "words" : "", ...(i === 0 && { scope: "row" }) }, ...(name ? [element("bdi")] : []))));
  return (view) => {
    const all = rows(view);
    nothing.hidden = all.length > 0;
    frame.hidden = all.length === 0;
    resize(body, all.length, newRow);
    all.forEach((row, i) => {
      columns.forEach(({ show, name, mark }, j) => {
        const cell = body.children[i].children[j];
        const into = name ? cell.firstElementChild : cell;
        const text = String(show(row, view) ?? UNKNOWN);
        put(text, into);
        if (name && into.title !== text) into.title = text;
        if (mark) cell.classList.toggle("on", mark(row));
      });
    });
  };
}

function sectionOf(section) {
  const frame = element("section", { className: section.wide ? "wide" : "", "aria-labelledby": `${section.id}-title` });
  frame.id = section.id;
  frame.append(element("h2", { id: `${section.id}-title` }, section.title));
  if (section.note) frame.append(element("p", {}, section.note));
  const updates = [];
  if (section.headline) updates.push(headlineOf(section, frame));
  if (section.trend) updates.push(trendOf(section.trend, frame));
  if (section.meter) updates.push(meterOf(section.meter, frame));
  if (section.rows) updates.push(listOf(section.rows, frame));
  if (section.table) updates.push(tableOf(section, frame));
  return { frame, update: (view) => updates.forEach((update) => update(view)) };
}

/** The findings, which come first. */
function findingsSection() {
  const list = element("ul", { className: "findings" });
  const none = element("p", { className: "headline" }, "Nothing to report");
  const frame = element("section", { id: "findings", className: "wide", "aria-labelledby": "findings-title" }, element("h2", { id: "findings-title" }, "Alerts"), none, list);
  const update = (view) => {
    const all = view.now.findings;
    none.hidden = all.length > 0;
    list.hidden = all.length === 0;
    resize(list, all.length, () => element("li", {}, element("strong"), " ", element("span"), element("small")));
    all.forEach((finding, i) => {
      const [severity, text, runbook] = list.children[i].children;
      list.children[i].className = finding.severity;
      put(`${finding.severity}:`, severity);
      put(finding.text, text);
      put(`${finding.name} · docs/runbooks/${finding.runbook}`, runbook);
    });
  };
  return { frame, update };
}

// --- The page ---

const page = Object.fromEntries(["about", "state", "state-text", "pause", "login", "token", "login-error", "sections"].map((id) => [id, document.getElementById(id)]));
const TOKEN = "pinfold-admin-token"; // in the tab's own storage, which ends with the tab
const PARTS = [{ id: "findings", needs: "findings", make: findingsSection }, ...SECTIONS.map((section) => ({ ...section, make: () => sectionOf(section) }))];
const view = new View();
const shown = new Map(); // sections by their ids
let timer = 0;
let paused = false;
let awaySince = null;

function say(state, text) {
  page.state.dataset.state = state;
  put(text, page["state-text"]);
  page.sections.toggleAttribute("data-old", state !== "live");
}

function show() {
  const { server, findings } = view.now;
  put(`${server.version} · up for ${duration(server.uptime_in_seconds)} · ${inUnit(server.io_threads, "threads")}`, page.about);
  let before = null;
  for (const { id, needs, when, make } of PARTS) {
    const there = Boolean(view.now[needs] && (when?.(view) ?? true));
    if (there && !shown.has(id)) {
      shown.set(id, make());
      if (before) before.after(shown.get(id).frame);
      else page.sections.prepend(shown.get(id).frame);
    }
    const part = shown.get(id);
    if (!part) continue;
    part.frame.hidden = !there;
    if (there) part.update(view);
    before = part.frame;
  }
  const bad = (findings ?? []).filter(({ severity }) => severity !== "info").length;
  document.title = bad > 0 ? `(${bad}) Pinfold` : "Pinfold";
}

async function ask() {
  const token = sessionStorage.getItem(TOKEN);
  if (token && !/^[!-~]+$/.test(token)) return { locked: true }; // no header can have it
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  // "omit": the browser is not to ask for a password in a window of its own.
  const response = await fetch("status.json", { headers, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.ok) return { answer: await response.json() };
  if (response.status === 401) return { locked: true };
  return { refused: `${response.status}: ${(await response.text()).slice(0, 200)}` };
}

function askForToken() {
  const wasWrong = sessionStorage.getItem(TOKEN) !== null;
  sessionStorage.removeItem(TOKEN);
  put(wasWrong ? "That is not the token." : "", page["login-error"]);
  page.login.hidden = false;
  say("locked", "The token is needed");
  page.token.focus();
}

async function poll() {
  clearTimeout(timer);
  timer = 0;
  try {
    const { answer, locked, refused } = await ask();
    if (locked) return askForToken();
    if (refused) throw new Error(refused);
    page.login.hidden = true;
    const restarted = view.now && view.now.server.run_id !== answer.server.run_id;
    view.add(answer);
    show();
    const back = awaySince !== null || restarted;
    awaySince = null;
    if (!paused && !document.hidden) say("live", restarted ? "Live; the server was restarted" : back ? "Live again" : page.state.dataset.state === "live" ? page["state-text"].textContent : "Live");
  } catch (error) {
    awaySince ??= new Date();
    const why = error instanceof TypeError || error.name === "TimeoutError" ? "does not answer" : `answers ${error.message.trim()}`;
    say("away", `The server ${why} since ${awaySince.toISOString().slice(11, 19)} UTC. The figures are old; asking again every 2 s.`);
  }
  next();
}

function next() {
  clearTimeout(timer);
  timer = paused || document.hidden ? 0 : setTimeout(poll, EVERY_MS);
}

/** Begins or ceases to ask, as the button and the tab say. */
function follow() {
  if (!page.login.hidden) return;
  if (paused || document.hidden) {
    clearTimeout(timer);
    timer = 0;
    say("paused", paused ? "Paused" : "Paused while the page is hidden");
  } else {
    poll();
  }
}

page.pause.addEventListener("click", () => {
  paused = !paused;
  page.pause.setAttribute("aria-pressed", String(paused));
  follow();
});
document.addEventListener("visibilitychange", follow);
page.login.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, page.token.value);
  page.token.value = "";
  poll();
});
poll();
