// How much is under way in each zone of limit_conn, and how much of it was refused.

import { KeyedList, byId, make, setData, setText } from "./dom.js";
import { count } from "./format.js";
import { t } from "./language.js";

const rows = new KeyedList(byId("zone-rows"), () => {
  const name = make("th", { scope: "row", class: "mono" });
  const [keys, underWay, refused] = [0, 1, 2].map(() => make("td", { class: "number" }));
  const node = make("tr", {}, name, keys, underWay, refused);
  return {
    node,
    update(zone) {
      setText(name, zone.zone);
      setText(keys, t("count.part", { part: count(zone.keys), all: count(zone.max_keys) }));
      setData(keys, "kind", zone.keys >= zone.max_keys ? "bad" : "");
      setText(underWay, count(zone.in_flight));
      setText(refused, count(zone.refused));
    },
  };
});

export function showZones({ limits }) {
  byId("zones").hidden = limits.at_once.length === 0;
  rows.show(limits.at_once, (zone) => zone.zone);
}
