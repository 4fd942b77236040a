// Whose token is used, and the way out.
import type { VNode } from "preact";
import { signOut, useOrganiser } from "./session";

export function Account(): VNode {
  const { me } = useOrganiser();
  return (
    <>
      <span class="account quiet" title={me.role}>
        <span dir="auto">{me.name}</span>
      </span>
      <button
        type="button"
        class="button"
        data-testid="console-signout"
        onClick={() => signOut(null)}
      >
        Sign out
      </button>
    </>
  );
}
