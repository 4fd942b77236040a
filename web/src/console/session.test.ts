// The token: where it is kept, for how long, and how it is forgotten.
import { afterEach, describe, expect, it } from "vitest";
import { currentSession, forget, signIn, signOut } from "./session";

afterEach(() => {
  sessionStorage.clear();
  localStorage.clear();
  forget();
});

const kept = (): [number, number] => [sessionStorage.length, localStorage.length];

describe("a token", () => {
  it("is kept by the tab alone, unless one chooses otherwise", () => {
    signIn("abc", "tab");
    expect(kept()).toEqual([1, 0]);
    signOut(null);
    signIn("abc", "browser");
    expect(kept()).toEqual([0, 1]);
  });

  it("is there after a reload", () => {
    signIn("abc", "tab");
    forget();
    expect(currentSession()).toEqual({ token: "abc", ended: null });
  });

  it("is forgotten everywhere when one signs out, with the reason if there is one", () => {
    signIn("old", "browser");
    signIn("abc", "tab");
    expect(kept()).toEqual([1, 0]);
    signOut("It was revoked.");
    expect(kept()).toEqual([0, 0]);
    expect(currentSession()).toEqual({ token: null, ended: "It was revoked." });
    // Nobody is signed in any more: a second refusal says nothing else.
    signOut(null);
    expect(currentSession().ended).toBe("It was revoked.");
  });

  it("never stands in the address", () => {
    signIn("abc", "tab");
    expect(location.href).not.toContain("abc");
  });
});
