//! A plan as data: what each task would do and why, its inputs, and the objects that would change.
//!
//! The same document is shown, printed as JSON, saved to a file, and compared with the current state before it is applied.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    provider::Infrastructure,
    regular,
    tasks::objects::ObjectChange,
};

/// Increases when a field changes its meaning.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) schema: u32,
    /// The version of the tool that wrote it.
    pub(crate) tool: String,
    pub(crate) instance: String,
    pub(crate) tasks: Vec<Planned>,
    /// The shortcuts of a disposable cluster that would be created.
    #[serde(default)]
    pub(crate) shortcuts: Vec<String>,
    /// What would change outside the cluster, in a cloud.
    #[serde(default)]
    pub(crate) infrastructure: Vec<Infrastructure>,
    /// Missing if other tasks must run first.
    pub(crate) objects: Option<Vec<ObjectChange>>,
}

/// A task of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) task: String,
    pub(crate) action: Action,
    pub(crate) reason: String,
    /// The inputs that differ from those of the task's last run.
    pub(crate) changed: Vec<String>,
    /// The changes that only a recreated cluster would apply.
    pub(crate) recreation: Option<String>,
    /// The digests of all inputs, if known.
    pub(crate) inputs: Option<Fingerprint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Nothing,
    Run,
    /// Depends on the results of earlier tasks.
    Follows,
    Unknown,
}

impl Plan {
    pub(crate) fn read(path: &Path) -> Result<Plan> {
        let text = regular::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        // Checks the schema first, since a newer document may have other fields.
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| unreadable(path, &error))?;
        match value["schema"].as_u64() {
            Some(schema) if schema == u64::from(SCHEMA) => serde_json::from_value(value).map_err(|error| unreadable(path, &error).into()),
            Some(schema) => {
                let what = format!("{} has schema {schema}; this version knows schema {SCHEMA}", path.display());
                Err(Problem::config(what)
                    .code(Code::PlanFile)
                    .hint("make a new plan with this version, or apply it with the one that made it")
                    .into())
            }
            None => Err(Problem::config(format!("{} is not a plan: it has no schema", path.display())).code(Code::PlanFile).into()),
        }
    }

    /// The tasks that may run.
    pub(crate) fn runs(&self) -> Vec<TaskId> {
        let may_run = |it: &&Planned| it.action != Action::Nothing;
        self.tasks.iter().filter(may_run).filter_map(|it| TaskId::parse(&it.task)).collect()
    }

    /// The differences that prevent applying this plan, if the current plan is `now`.
    pub(crate) fn differs(&self, now: &Plan) -> Vec<String> {
        let mut out = Vec::new();
        if self.tool != now.tool {
            out.push(format!("it was made by version {}, this is {}", self.tool, now.tool));
        }
        if self.instance != now.instance {
            out.push(format!("it is for instance {}, this is {}", self.instance, now.instance));
        }
        for (old, new) in self.tasks.iter().zip(&now.tasks) {
            if let Some(why) = old.differs(new) {
                out.push(format!("{}: {why}", old.task));
            }
        }
        if self.tasks.len() != now.tasks.len() {
            out.push("it has other tasks".to_owned());
        }
        let changed = |old: &[Infrastructure], new: &[Infrastructure], words: &str| {
            let others = old.iter().filter(|it| !new.contains(it));
            others.map(|it| format!("{words}: {}", it.to_string().replace('\n', ","))).collect::<Vec<_>>()
        };
        out.extend(changed(&self.infrastructure, &now.infrastructure, "no longer to be done"));
        out.extend(changed(&now.infrastructure, &self.infrastructure, "not in the plan"));
        let (old, new) = (self.objects.as_deref().unwrap_or_default(), now.objects.as_deref().unwrap_or_default());
        for change in old.iter().filter(|it| !new.contains(it)) {
            out.push(format!("no longer to be done: {change}"));
        }
        for change in new.iter().filter(|it| !old.contains(it)) {
            out.push(format!("not in the plan: {change}"));
        }
        out
    }
}

impl Planned {
    fn differs(&self, now: &Planned) -> Option<String> {
        if let (Some(old), Some(new)) = (&self.inputs, &now.inputs)
            && let Some(change) = new.difference(old)
        {
            return Some(format!("{change} since"));
        }
        // Descriptions of existing products may contain sizes and times, so they are not compared; the changes must be equal.
        let same = self.action == now.action && (self.action == Action::Nothing || self.reason == now.reason);
        (!same).then(|| format!("planned: {} ({}); now: {} ({})", self.action.words(), self.reason, now.action.words(), now.reason))
    }
}

impl Action {
    fn words(self) -> &'static str {
        match self {
            Action::Nothing => "nothing to do",
            Action::Run => "run",
            Action::Follows => "follows",
            Action::Unknown => "is unknown",
        }
    }
}

fn unreadable(path: &Path, error: &serde_json::Error) -> Problem {
    Problem::config(format!("{} is not a plan: {error}", path.display())).code(Code::PlanFile)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::provider::Property;

    pub(in super::super) fn planned(task: &str, action: Action, reason: &str) -> Planned {
        let (task, reason) = (task.to_owned(), reason.to_owned());
        Planned { task, action, reason, changed: Vec::new(), recreation: None, inputs: None }
    }

    pub(in super::super) fn plan(tasks: Vec<Planned>, objects: Option<Vec<ObjectChange>>) -> Plan {
        Plan {
            schema: SCHEMA,
            tool: "1".to_owned(),
            instance: "i".to_owned(),
            tasks,
            shortcuts: Vec::new(),
            infrastructure: Vec::new(),
            objects,
        }
    }

    fn with_input(value: &str) -> Planned {
        let mut inputs = Fingerprint::new();
        inputs.add("patch 0002", value);
        Planned { inputs: Some(inputs), ..planned("patch", Action::Run, "not done yet") }
    }

    #[test]
    fn the_same_world_gives_the_same_plan_whatever_its_sizes() {
        let old = plan(vec![planned("image", Action::Nothing, "it is there (1 MB)")], None);
        let new = plan(vec![planned("image", Action::Nothing, "it is there (2 MB)")], None);
        assert_eq!(old.differs(&new), Vec::<String>::new());
    }

    #[test]
    fn another_plan_of_opentofu_is_another_plan() {
        let resource = |after: &str| Infrastructure {
            resource: "aws_vpc.this".to_owned(),
            action: "create".to_owned(),
            properties: vec![Property { name: "cidr_block".to_owned(), before: None, after: Some(after.to_owned()) }],
        };
        let with = |after| Plan { infrastructure: vec![resource(after)], ..plan(Vec::new(), None) };
        assert_eq!(with("a").differs(&with("a")), Vec::<String>::new());
        let expected = ["no longer to be done: + aws_vpc.this,      cidr_block: a", "not in the plan: + aws_vpc.this,      cidr_block: b"];
        assert_eq!(with("a").differs(&with("b")), expected);
    }

    #[test]
    fn what_changed_since_is_named() {
        let old = plan(vec![with_input("a"), planned("cluster", Action::Nothing, "it answers")], None);
        let new = Plan {
            tool: "2".to_owned(),
            instance: "j".to_owned(),
            ..plan(vec![with_input("b"), planned("cluster", Action::Run, "its node is stopped")], None)
        };
        let expected = [
            "it was made by version 1, this is 2",
            "it is for instance i, this is j",
            "patch: patch 0002 changed since",
            "cluster: planned: nothing to do (it answers); now: run (its node is stopped)",
        ];
        assert_eq!(old.differs(&new), expected);
    }

    #[test]
    fn a_plan_that_is_none_or_of_another_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        for (text, expected) in
            [("{\"schema\": 7, \"later\": true}", "this version knows schema 1"), ("{}", "it has no schema"), ("words", "is not a plan")]
        {
            std::fs::write(&path, text).unwrap();
            assert!(Plan::read(&path).unwrap_err().to_string().contains(expected), "{text}");
        }
        std::fs::write(&path, serde_json::to_vec(&plan(Vec::new(), None)).unwrap()).unwrap();
        assert_eq!(Plan::read(&path).unwrap(), plan(Vec::new(), None));
    }
}
