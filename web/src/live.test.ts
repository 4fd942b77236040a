// The stream that looks after itself, on a clock and a connection of the test's own.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Live, type LiveStatus, pauseMs, type Source } from "./live";

class FakeSource implements Source {
  onopen: Source["onopen"] = null;
  onerror: Source["onerror"] = null;
  closed = false;
  private readonly listeners = new Map<string, (event: MessageEvent<string>) => void>();

  addEventListener(name: string, listener: (event: MessageEvent<string>) => void): void {
    this.listeners.set(name, listener);
  }

  close(): void {
    this.closed = true;
  }

  send(name: string, data: string): void {
    this.listeners.get(name)?.(new MessageEvent(name, { data }));
  }

  open(): void {
    this.onopen?.(new Event("open"));
  }

  fail(): void {
    this.onerror?.(new Event("error"));
  }
}

function setUp() {
  const sources: FakeSource[] = [];
  const got: unknown[] = [];
  const statuses: LiveStatus[] = [];
  const poll = vi.fn();
  const live = new Live({
    url: "/live",
    on: { pin: (data) => got.push(data) },
    poll,
    onStatus: (status) => statuses.push(status),
    pollEveryMs: 3_000,
    random: () => 1,
    connect: () => {
      const source = new FakeSource();
      sources.push(source);
      return source;
    },
  });
  const last = (): FakeSource => {
    const source = sources.at(-1);
    if (source === undefined) throw new Error("nothing was opened");
    return source;
  };
  return { sources, got, statuses, poll, live, last };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a live stream", () => {
  it("hands on parsed events and drops broken ones", () => {
    const { got, last, live } = setUp();
    last().open();
    last().send("pin", '{"id":1}');
    last().send("pin", "{");
    expect(got).toEqual([{ id: 1 }]);
    live.close();
  });

  it("comes back after a pause that doubles", () => {
    const { sources, last, live } = setUp();
    last().fail();
    expect(last().closed).toBe(true);
    vi.advanceTimersByTime(999);
    expect(sources).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(sources).toHaveLength(2);
    last().fail();
    vi.advanceTimersByTime(1_999);
    expect(sources).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(sources).toHaveLength(3);
    live.close();
  });

  it("polls from the second failure on, and stops when the stream is back", async () => {
    const { poll, statuses, last, live } = setUp();
    last().fail();
    vi.advanceTimersByTime(1_000);
    expect(poll).not.toHaveBeenCalled();
    last().fail();
    await vi.advanceTimersByTimeAsync(0);
    expect(poll).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(2_000);
    last().open();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(poll).toHaveBeenCalledTimes(1);
    expect(statuses).toEqual(["polling", "open"]);
    live.close();
  });

  it("counts failures until data has come, not until a connection opens", () => {
    const { sources, last, live } = setUp();
    for (const pause of [1_000, 2_000, 4_000]) {
      last().open();
      last().fail();
      vi.advanceTimersByTime(pause - 1);
      const before = sources.length;
      vi.advanceTimersByTime(1);
      expect(sources).toHaveLength(before + 1);
    }
    last().open();
    last().send("pin", "1");
    last().fail();
    const before = sources.length;
    vi.advanceTimersByTime(1_000);
    expect(sources).toHaveLength(before + 1);
    live.close();
  });

  it("does not wait when the network returns", () => {
    const { sources, last, live } = setUp();
    last().fail();
    globalThis.dispatchEvent(new Event("online"));
    expect(sources).toHaveLength(2);
    vi.advanceTimersByTime(60_000);
    expect(sources).toHaveLength(2);
    live.close();
  });

  it("is silent after close", async () => {
    const { sources, got, poll, last, live } = setUp();
    const source = last();
    source.open();
    live.close();
    source.send("pin", "1");
    source.fail();
    globalThis.dispatchEvent(new Event("online"));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(sources).toHaveLength(1);
    expect(got).toEqual([]);
    expect(poll).not.toHaveBeenCalled();
  });

  it("never pauses longer than half a minute, and spreads the crowd", () => {
    expect(pauseMs(20, () => 1)).toBe(30_000);
    expect(pauseMs(1, () => 0)).toBe(500);
  });
});
