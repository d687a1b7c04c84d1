//! The text of a plan. Pure.

use crate::{
    commands::plan::document::{Action, Plan, Planned},
    graph::TaskId,
    tasks::objects::ObjectAction,
};

pub(super) fn text(plan: &Plan) -> String {
    let mut out = String::new();
    for planned in &plan.tasks {
        out.push_str(&task(planned));
        if planned.task == TaskId::Cluster.name() && !plan.shortcuts.is_empty() {
            out.push_str("    shortcuts of a disposable cluster:\n");
            out.extend(plan.shortcuts.iter().map(|it| format!("    - {it}\n")));
        }
        if planned.task == TaskId::Cluster.name() {
            out.extend(plan.infrastructure.iter().map(|it| format!("  {it}\n")));
        }
    }
    match &plan.objects {
        None => out.push_str("? objects of the cluster is unknown before the tasks above have run\n"),
        Some(changes) => out.extend(changes.iter().map(|change| format!("  {change}\n"))),
    }
    out.push_str(&summary(plan));
    out
}

fn task(planned: &Planned) -> String {
    let task = &planned.task;
    // An error may have several relevant lines.
    let reason = planned.reason.trim_end().replace('\n', "\n      ");
    let mut out = match planned.action {
        Action::Nothing => format!("= {task:<12} nothing to do: {reason}\n"),
        Action::Run => format!("~ {task:<12} would run: {reason}\n"),
        Action::Follows => format!("? {task:<12} {reason}: whether it runs is unknown\n"),
        Action::Unknown => format!("? {task:<12} is unknown: {reason}\n"),
    };
    // The reason already names one or two.
    if planned.changed.len() > 2 {
        out.extend(planned.changed.iter().map(|it| format!("    {it}\n")));
    }
    out
}

fn summary(plan: &Plan) -> String {
    let tasks = |action| plan.tasks.iter().filter(|it| it.action == action).count();
    let objects = |action| plan.objects.iter().flatten().filter(|it| it.action == action).count();
    let unknown = tasks(Action::Follows) + tasks(Action::Unknown);
    let resources = match plan.infrastructure.len() {
        0 => String::new(),
        count => format!("; {count} resources in the cloud"),
    };
    if tasks(Action::Run) + unknown == 0 {
        return "\nnothing to do\n".to_owned();
    }
    format!(
        "\n{} of {} tasks would run, {unknown} unknown; objects: {} to create, {} to change, {} to delete{resources}\n\
         not in a plan: the values of Secrets, what operator and controllers make of objects, and what left deploy/ and may hold data (it stays)\n",
        tasks(Action::Run),
        plan.tasks.len(),
        objects(ObjectAction::Create),
        objects(ObjectAction::Change),
        objects(ObjectAction::Delete),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::difference::Change,
        commands::plan::document::tests::{plan, planned},
        tasks::objects::ObjectChange,
    };

    #[test]
    fn what_cannot_be_foreseen_is_said() {
        let patch = Planned {
            changed: ["a changed", "b is new", "c is gone"].map(str::to_owned).to_vec(),
            ..planned("patch", Action::Run, "a changed, b is new and 1 more")
        };
        let expected = "~ patch        would run: a changed, b is new and 1 more\n    a changed\n    b is new\n    c is gone\n\
                        ? requirements follows patch: whether it runs is unknown\n\
                        ? objects of the cluster is unknown before the tasks above have run\n\n\
                        1 of 2 tasks would run, 1 unknown; objects: 0 to create, 0 to change, 0 to delete\n";
        let text = text(&plan(vec![patch, planned("requirements", Action::Follows, "follows patch")], None));
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn an_error_of_several_lines_stands_whole_below_its_task() {
        let text = text(&plan(vec![planned("image", Action::Unknown, "read it\nline 3: no such instruction\n")], Some(Vec::new())));
        assert!(text.starts_with("? image        is unknown: read it\n      line 3: no such instruction\n\n"), "{text}");
    }

    #[test]
    fn changes_of_objects_stand_below_the_tasks() {
        let change = Change { path: "spec.replicas".to_owned(), before: Some("2".to_owned()), after: Some("3".to_owned()) };
        let changed =
            ObjectChange { object: "Deployment d".to_owned(), action: ObjectAction::Change, properties: vec![change], reason: None };
        let text = text(&plan(vec![planned("deploy", Action::Run, "x")], Some(vec![changed])));
        assert!(
            text.starts_with("~ deploy       would run: x\n  ~ Deployment d: spec.replicas: 2 -> 3\n\n1 of 1 tasks would run, "),
            "{text}"
        );
        assert!(super::text(&plan(vec![planned("patch", Action::Nothing, "staged")], Some(Vec::new()))).ends_with("\nnothing to do\n"));
    }

    #[test]
    fn what_is_fit_for_a_throw_away_cluster_only_is_named() {
        let made =
            Plan { shortcuts: vec!["no elections".to_owned()], ..plan(vec![planned("cluster", Action::Run, "there is none")], None) };
        assert!(text(&made).contains("there is none\n    shortcuts of a disposable cluster:\n    - no elections\n"), "{}", text(&made));
    }
}
