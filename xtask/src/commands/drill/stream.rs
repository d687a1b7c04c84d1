//! A pod that writes numbered votes into a database of its own, one after the other, and logs each answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::deploy::{objects, operator::CONTROL_PLANE, plain};

/// The pod, and the database with the votes.
pub(super) const NAME: &str = "pocdeploy-drill";

/// Writes a vote every 50 ms, each over a connection of its own, as after a loss of all connections. A vote that is not answered within 3 s is
/// given up. Prints `ok` or `no`, the number, the time in nanoseconds at the end of the attempt, and the last line of an error.
const SCRIPT: &str = r#"
n=0
while :; do
  n=$((n + 1))
  if why=$(timeout 3 psql --no-psqlrc --quiet --command "INSERT INTO votes VALUES ($n)" 2>&1); then said=ok; else said=no; fi
  echo "$said $n $(date +%s%N) $(printf %s "$why" | tail -n 1)"
  sleep 0.05
done
"#;

/// What the pod needs to know.
pub(super) struct Writer<'a> {
    pub(super) namespace: &'a str,
    pub(super) instance: &'a str,
    /// The `Cluster` in the cluster.
    pub(super) database: &'a Value,
    /// The Secret with the owner's name and password.
    pub(super) secret: &'a str,
    /// The seconds after which the pod ends itself, if the tool was killed.
    pub(super) deadline: u64,
    /// Whether the pod runs beside the control plane, where it survives the loss of another node.
    pub(super) on_control_plane: bool,
}

impl Writer<'_> {
    /// The pod, with the image of the database and the labels that the database's NetworkPolicies let in: the example's and those of the
    /// tool's own manifests. No Service of the application leads to it.
    pub(super) fn pod(&self) -> Value {
        let name = self.database["metadata"]["name"].as_str().unwrap_or_default();
        let image = self.database.pointer("/status/image").or_else(|| self.database.pointer("/spec/imageName"));
        let of_secret =
            |variable: &str, key: &str| json!({ "name": variable, "valueFrom": { "secretKeyRef": { "name": self.secret, "key": key } } });
        let plain = |variable: &str, value: &str| json!({ "name": variable, "value": value });
        let place = self.on_control_plane.then(|| json!({ CONTROL_PLANE: "" }));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": NAME,
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/name": NAME,
                    "app.kubernetes.io/component": "migration",
                    "app.kubernetes.io/managed-by": "pocdeploy",
                    objects::INSTANCE: self.instance,
                    plain::CLIENT: "true",
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": place,
                "tolerations": [{ "key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule" }],
                "activeDeadlineSeconds": self.deadline,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "imagePullSecrets": self.database.pointer("/spec/imagePullSecrets").cloned().unwrap_or_else(|| json!([])),
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 26, "runAsGroup": 26, "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "writer",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", SCRIPT],
                    "env": [
                        plain("PGHOST", &format!("{name}-rw")), plain("PGDATABASE", NAME), plain("PGCONNECT_TIMEOUT", "2"),
                        of_secret("PGUSER", "username"), of_secret("PGPASSWORD", "password"),
                    ],
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
                    },
                    "resources": { "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "cpu": "1", "memory": "128Mi" } },
                }],
            },
        })
    }
}

/// An attempt to write a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) acknowledged: bool,
    /// When it ended, in nanoseconds since 1970 by the pod's clock.
    pub(super) ended: u128,
    /// The error's last line; empty if it was acknowledged or given up.
    pub(super) why: String,
}

/// The attempts in the pod's log. The last line may be incomplete.
pub(super) fn attempts(log: &str) -> Vec<Attempt> {
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let one = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let acknowledged = match words.next()? {
            "ok" => true,
            "no" => false,
            _ => return None,
        };
        Some(Attempt {
            acknowledged,
            number: words.next()?.parse().ok()?,
            ended: words.next()?.parse().ok()?,
            why: words.next().unwrap_or_default().to_owned(),
        })
    };
    whole.lines().filter_map(one).collect()
}

/// Whether the log has every attempt: the kubelet serves only the newest file of a long log.
pub(super) fn is_whole(attempts: &[Attempt]) -> bool {
    (1..).zip(attempts).all(|(number, it)| it.number == number)
}

/// The longest time without an acknowledged vote, in seconds, from the last one up to number `from` on. `None` until a vote after the
/// longest pause is acknowledged.
pub(super) fn outage(attempts: &[Attempt], from: u64) -> Option<f64> {
    let acknowledged: Vec<&Attempt> = attempts.iter().filter(|it| it.acknowledged).collect();
    let first = acknowledged.iter().rposition(|it| it.number <= from).unwrap_or_default();
    let times = acknowledged.get(first..)?;
    times.windows(2).map(|pair| pair[1].ended.saturating_sub(pair[0].ended)).max().map(|it| it as f64 / 1e9)
}

/// The acknowledged votes that are not in the table.
pub(super) fn lost(attempts: &[Attempt], there: &BTreeSet<u64>) -> Vec<u64> {
    attempts.iter().filter(|it| it.acknowledged && !there.contains(&it.number)).map(|it| it.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "ok 1 1000000000 \nok 2 1100000000 \nno 3 4200000000 psql: error: refused\nno 4 7300000000 \nok 5 7400000000\nok 6 7500000000\nok 7 75";

    #[test]
    fn an_outage_lasts_from_the_last_acknowledged_vote_to_the_next_one() {
        let seen = attempts(LOG);
        assert_eq!(seen.len(), 6);
        assert_eq!(seen[2], Attempt { number: 3, acknowledged: false, ended: 4_200_000_000, why: "psql: error: refused".to_owned() });
        assert!(is_whole(&seen) && !is_whole(&seen[1..]) && !is_whole(&[&seen[..2], &seen[3..]].concat()));
        let about = |from, seconds: f64| outage(&seen, from).is_some_and(|it| (it - seconds).abs() < 1e-6);
        assert!(about(2, 6.3) && about(0, 6.3));
        assert!(about(5, 0.1), "an earlier outage does not count");
        assert_eq!(outage(&seen[..4], 2), None, "it lasts");
        assert_eq!(outage(&[], 0), None);
    }

    #[test]
    fn only_acknowledged_votes_can_be_lost() {
        let seen = attempts(LOG);
        assert_eq!(lost(&seen, &BTreeSet::from([1, 2, 3, 5, 6])), Vec::<u64>::new());
        assert_eq!(lost(&seen, &BTreeSet::from([1, 4, 6])), [2, 5]);
    }

    #[test]
    fn the_writer_keeps_the_restricted_standard_and_has_no_password_in_its_manifest() {
        let database = json!({ "metadata": { "name": "polls-db" }, "spec": { "imageName": "a" }, "status": { "image": "b" } });
        let pod = Writer {
            namespace: "polls",
            instance: "polls-1",
            database: &database,
            secret: "polls-db-app",
            deadline: 60,
            on_control_plane: true,
        }
        .pod();
        let container = &pod["spec"]["containers"][0];
        assert_eq!((&container["image"], &container["env"][0]["value"]), (&json!("b"), &json!("polls-db-rw")));
        assert_eq!(container["env"][4]["valueFrom"]["secretKeyRef"], json!({ "name": "polls-db-app", "key": "password" }));
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(pod["metadata"]["labels"][objects::INSTANCE], "polls-1");
    }
}
