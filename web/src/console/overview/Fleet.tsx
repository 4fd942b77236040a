// The machinery: workers that grade, nodes that containers run on, and the slots they have.
import type { VNode } from "preact";
import type { Fleet, NodeInfo, WorkerInfo } from "../../api/admin";
import { Time } from "../../parts/time";
import { Panel, Shown } from "../Panel";
import type { Polled } from "../usePolled";
import { count, counted } from "../words";

export function FleetPanel({ polled }: { polled: Polled<Fleet> }): VNode {
  return (
    <Panel title="Machines" id="fleet" testid="console-nodes">
      <Shown polled={polled} what="machines">
        {(fleet) => <Machines fleet={fleet} />}
      </Shown>
    </Panel>
  );
}

function Machines({ fleet }: { fleet: Fleet }): VNode {
  const { slots, busy, workers, nodes } = fleet;
  return (
    <>
      <div class="slots">
        <p>
          {count(busy)} of {counted(slots, "slot")} busy
        </p>
        <progress max={Math.max(1, slots)} value={Math.min(busy, slots)} aria-label="Busy slots" />
      </div>
      <h3>Workers</h3>
      {workers.length === 0 ? (
        <p class="strip">No worker is there, so nothing is graded.</p>
      ) : (
        <ul class="machines">
          {workers.map((worker) => (
            <Worker key={worker.name} worker={worker} />
          ))}
        </ul>
      )}
      <h3>Nodes</h3>
      {nodes.length === 0 ? (
        <p class="empty">No node has been reported yet.</p>
      ) : (
        <ul class="machines">
          {nodes.map((node) => (
            <Node key={`${node.worker} ${node.name}`} node={node} />
          ))}
        </ul>
      )}
    </>
  );
}

function Worker({ worker }: { worker: WorkerInfo }): VNode {
  const { name, slots, busy, seen_at, draining, version } = worker;
  return (
    <li class="machine" data-worker={name}>
      <strong dir="auto">{name}</strong>
      <span class={draining ? "mark mark-warn" : "mark mark-passed"}>
        {draining ? "stopping" : `${count(busy)} of ${count(slots)} busy`}
      </span>
      <span class="quiet">
        seen <Time at={seen_at} />
        {version !== null && `, version ${version}`}
      </span>
    </li>
  );
}

function Node({ node }: { node: NodeInfo }): VNode {
  const { name, worker, takes_work, why, checked_at, canary } = node;
  return (
    <li
      class="machine"
      data-node={name}
      data-worker={worker}
      data-takes-work={takes_work ? "yes" : "no"}
    >
      <strong dir="auto">{name}</strong>
      <span class={takes_work ? "mark mark-passed" : "mark mark-failed"}>
        {takes_work ? "takes work" : "takes no work"}
      </span>
      <span class="quiet">
        {nodeWords(node)}
        {checked_at !== null && (
          <>
            {canary === "failed" ? ", isolation failed " : ", isolation checked "}
            <Time at={checked_at} />
          </>
        )}
      </span>
      {why !== null && (
        <span class="machine-why" dir="auto">
          {why}
        </span>
      )}
    </li>
  );
}

/** What a machine is good for and what is done with it; a newer version's words are left out. */
export function nodeWords({ worker, state, duty, slots, busy }: NodeInfo): string {
  const known = [state, duty].filter((word) => word !== "other" && word !== "");
  const room = slots === null ? [] : [`${count(busy)} of ${counted(slots, "slot")} busy`];
  return [`by ${worker}`, ...known, ...room].join(", ");
}
