// What happens each second, from how counters differ between two answers of the proxy. No document.

const KEPT_S = 150;
const RATE_OVER_S = 8;
const ERRORS_OVER_S = 30;

/** The counters of one upstream over the last minutes. Times are the proxy's, in seconds. */
export class History {
  #samples = [];

  add(at, requests, replies) {
    const last = this.#samples.at(-1);
    const total = Object.values(replies).reduce((sum, each) => sum + each, 0);
    // An upstream that left and came again counts from zero.
    if (last && (requests < last.requests || total < last.replies)) this.#samples = [];
    this.#samples.push({ at, requests, replies: total, failed: replies["5xx"] ?? 0 });
    while (this.#samples[0].at < at - KEPT_S) this.#samples.shift();
  }

  /** Requests each second lately; null before there are two answers. */
  get perSecond() {
    const { first, last } = this.#over(RATE_OVER_S);
    return first ? (last.requests - first.requests) / (last.at - first.at) : null;
  }

  /** Replies of the last half minute, and how many of them were 5xx. */
  get recent() {
    const { first, last } = this.#over(ERRORS_OVER_S);
    return first ? { replies: last.replies - first.replies, failed: last.failed - first.failed } : { replies: 0, failed: 0 };
  }

  /** Requests each second between answers, the oldest first. */
  get series() {
    const samples = this.#samples;
    return samples.slice(1).map((each, i) => (each.requests - samples[i].requests) / Math.max(0.1, each.at - samples[i].at));
  }

  #over(seconds) {
    const last = this.#samples.at(-1);
    const first = this.#samples.find((each) => each.at >= last.at - seconds);
    return first && last.at > first.at ? { first, last } : { first: null, last };
  }
}

/** The histories of all upstreams of all pools, forgotten with them and with the process they were counted in. */
export class Histories {
  #byKey = new Map();
  #process = "";

  add(status) {
    const process = `${status.pid} ${status.started_at}`;
    if (process !== this.#process) this.#byKey.clear();
    this.#process = process;
    const gone = new Set(this.#byKey.keys());
    for (const pool of status.pools) {
      for (const upstream of pool.upstreams) {
        const key = keyOf(pool, upstream);
        gone.delete(key);
        if (!this.#byKey.has(key)) this.#byKey.set(key, new History());
        this.#byKey.get(key).add(status.now, upstream.requests, upstream.replies);
      }
    }
    for (const key of gone) this.#byKey.delete(key);
  }

  of(pool, upstream) {
    return this.#byKey.get(keyOf(pool, upstream));
  }

  /** Upstreams of which at least this share of at least so many replies of the last half minute were 5xx. */
  failing(status, share, replies) {
    const all = status.pools.flatMap((pool) =>
      pool.upstreams.map((upstream) => ({ pool: pool.name, upstream: upstream.upstream, ...this.of(pool, upstream).recent })),
    );
    const found = all.filter((each) => each.replies >= replies && each.failed >= share * each.replies);
    return found.sort((one, other) => other.failed - one.failed);
  }

  /** All upstreams together: {perSecond, recent}. */
  get total() {
    const all = [...this.#byKey.values()];
    const rates = all.map((each) => each.perSecond).filter((each) => each !== null);
    const recents = all.map((each) => each.recent);
    return {
      perSecond: rates.length > 0 ? rates.reduce((sum, each) => sum + each, 0) : null,
      replies: recents.reduce((sum, each) => sum + each.replies, 0),
      failed: recents.reduce((sum, each) => sum + each.failed, 0),
    };
  }
}

const keyOf = (pool, upstream) => `${pool.name}\n${upstream.upstream}`;
