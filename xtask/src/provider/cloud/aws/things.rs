//! What AWS has of an instance, and the commands that delete it.

use anyhow::Result;
use serde_json::Value;

use crate::{
    env::Env,
    graph::TaskId,
    provider::cloud::{
        adopt::Import,
        aws::{INSTANCE, OF_CLUSTER},
        vendor::{Thing, ask_aside, strings},
    },
};

/// Subnets by their place in the HCL, which is in the tag `Name`; the route table, and its associations with them.
pub(super) fn subnets(name: &str, subnets: &Value, tables: &Value) -> Vec<Import> {
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let mut out = Vec::new();
    let mut places = Vec::new();
    for subnet in list(subnets, "Subnets") {
        let tag = list(&subnet, "Tags").iter().find(|it| it["Key"] == "Name").map(|it| text(it, "Value")).unwrap_or_default();
        let Some(place) = tag.strip_prefix(&format!("{name}-")).and_then(|it| it.parse::<u8>().ok()) else { continue };
        let id = text(&subnet, "SubnetId");
        out.push((format!("aws_subnet.public[{place}]"), id.clone()));
        places.push((id, place));
    }
    for table in list(tables, "RouteTables") {
        let id = text(&table, "RouteTableId");
        for association in list(&table, "Associations") {
            let subnet = text(&association, "SubnetId");
            let place = places.iter().find(|it| it.0 == subnet).map(|it| it.1);
            out.extend(place.map(|it| (format!("aws_route_table_association.public[{it}]"), format!("{subnet}/{id}"))));
        }
        out.push(("aws_route_table.public".to_owned(), id));
    }
    out
}

/// In the order in which they can be deleted.
pub(super) fn rank(what: &str) -> usize {
    const ORDER: [&str; 11] = [
        "EKS cluster",
        "load balancer",
        "instance",
        "volume",
        "snapshot",
        "ECR repository",
        "subnet",
        "internet gateway",
        "route table",
        "security group",
        "vpc",
    ];
    ORDER.iter().position(|it| what.starts_with(it)).unwrap_or(ORDER.len())
}

/// A role can be deleted without policies only.
pub(super) fn delete_role(role: &str) -> String {
    let list = format!("aws iam list-attached-role-policies --role-name {role} --query 'AttachedPolicies[].PolicyArn' --output text");
    format!("{list} | xargs -n 1 aws iam detach-role-policy --role-name {role} --policy-arn; aws iam delete-role --role-name {role}")
}

/// How EC2 is asked for a kind of thing: the operation, the list in its answer, the ID in an item, and the tags by which it is the instance's.
type Question = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const QUESTIONS: [Question; 7] = [
    ("volume", "describe-volumes", "Volumes", "VolumeId", &[INSTANCE, OF_CLUSTER]),
    ("snapshot", "describe-snapshots", "Snapshots", "SnapshotId", &[INSTANCE, OF_CLUSTER]),
    ("subnet", "describe-subnets", "Subnets", "SubnetId", &[INSTANCE]),
    ("internet gateway", "describe-internet-gateways", "InternetGateways", "InternetGatewayId", &[INSTANCE]),
    ("route table", "describe-route-tables", "RouteTables", "RouteTableId", &[INSTANCE]),
    ("security group", "describe-security-groups", "SecurityGroups", "GroupId", &[INSTANCE, OF_CLUSTER]),
    ("vpc", "describe-vpcs", "Vpcs", "VpcId", &[INSTANCE]),
];

/// What EC2 has of the instance. The questions are asked at once, since the program takes a second to start.
pub(super) fn of_ec2(env: &Env, task: TaskId, region: &str, name: &str) -> Result<Vec<Thing>> {
    let asked = |tools: &str, operation: &str, filters: &[String]| {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let arguments = [&["ec2", operation, "--region", region, "--output", "json", "--filters"], filters.as_slice()].concat();
        ask_aside(env, task, tools, "aws", &arguments)
    };
    let answers: Vec<Result<(Question, Value)>> = std::thread::scope(|scope| {
        let all = QUESTIONS.iter().flat_map(|it| it.4.iter().map(move |tag| (*it, format!("Name=tag:{tag},Values={name}"))));
        let running: Vec<_> = all
            .enumerate()
            .map(|(at, (question, filter))| scope.spawn(move || Ok((question, asked(&format!("aws-{at}"), question.1, &[filter])?))))
            .collect();
        running.into_iter().map(|it| it.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a question to AWS ended early")))).collect()
    });
    let mut found = Vec::new();
    for answer in answers {
        let ((what, _, list, id, _), said) = answer?;
        found.extend(strings(&said, list, id).map(|it| (what, it)));
    }
    let network = found.iter().find(|it| it.0 == "vpc").map_or("VPC", |it| it.1.as_str()).to_owned();
    let mut out: Vec<Thing> = found.iter().map(|(what, id)| thing(what, id, &network, region)).collect();
    // An instance keeps its tags for an hour after its end.
    let filter =
        [format!("Name=tag:{OF_CLUSTER},Values={name}"), "Name=instance-state-name,Values=pending,running,stopping,stopped".to_owned()];
    let said = asked("aws", "describe-instances", &filter)?;
    for reservation in said["Reservations"].as_array().into_iter().flatten() {
        out.extend(strings(reservation, "Instances", "InstanceId").map(|it| thing("instance", &it, &network, region)));
    }
    Ok(out)
}

fn thing(what: &str, id: &str, network: &str, region: &str) -> Thing {
    let kind = what.replace(' ', "-");
    let command = match what {
        "security group" => format!("aws ec2 delete-security-group --group-id {id} --region {region}"),
        "instance" => format!("aws ec2 terminate-instances --instance-ids {id} --region {region}"),
        "internet gateway" => format!(
            "aws ec2 detach-internet-gateway --internet-gateway-id {id} --vpc-id {network} --region {region} && \
             aws ec2 delete-internet-gateway --internet-gateway-id {id} --region {region}"
        ),
        _ => format!("aws ec2 delete-{kind} --{kind}-id {id} --region {region}"),
    };
    Thing { what: format!("{what} {id}"), command }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn subnets_keep_their_places_and_associations_theirs() {
        let subnet =
            |id: &str, name: &str| json!({ "SubnetId": id, "Tags": [{ "Key": "x", "Value": "y" }, { "Key": "Name", "Value": name }] });
        let found = json!({ "Subnets": [subnet("s-b", "p-1"), subnet("s-a", "p-0"), subnet("s-c", "by hand")] });
        let tables = json!({ "RouteTables": [{ "RouteTableId": "r", "Associations": [{ "SubnetId": "s-a" }, { "SubnetId": "s-c" }] }] });
        let expected = [
            ("aws_subnet.public[1]", "s-b"),
            ("aws_subnet.public[0]", "s-a"),
            ("aws_route_table_association.public[0]", "s-a/r"),
            ("aws_route_table.public", "r"),
        ];
        assert_eq!(subnets("p", &found, &tables), expected.map(|(address, id)| (address.to_owned(), id.to_owned())));
    }

    #[test]
    fn things_come_in_the_order_in_which_they_can_be_deleted_each_with_its_command() {
        let mut things: Vec<Thing> = [("vpc", "v"), ("internet gateway", "g"), ("volume", "d"), ("security group", "s")]
            .map(|(what, id)| thing(what, id, "v", "r"))
            .into();
        things.sort_by_key(|it| rank(&it.what));
        let expected = [
            "volume d (delete it with: aws ec2 delete-volume --volume-id d --region r)",
            "internet gateway g (delete it with: aws ec2 detach-internet-gateway --internet-gateway-id g --vpc-id v --region r && \
             aws ec2 delete-internet-gateway --internet-gateway-id g --region r)",
            "security group s (delete it with: aws ec2 delete-security-group --group-id s --region r)",
            "vpc v (delete it with: aws ec2 delete-vpc --vpc-id v --region r)",
        ];
        assert_eq!(things.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }
}
