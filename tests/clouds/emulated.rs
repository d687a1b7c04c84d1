//! What the tool asks AWS itself, with the real AWS CLI and an emulator of AWS's APIs on this machine: identity, lists by tag, deletion.
//!
//! MiniStack 1.5.33 (PyPI) has no route for EKS's versions and no service quotas; the tool says that they could not be asked.

use super::{emulator::Emulator, sky::Sky, stopped, text};

#[test]
fn the_aws_cli_understands_every_question_and_every_command_that_the_tool_prints() {
    let emulator = Emulator::start();
    let world = stopped::World::of(Sky::without_program());
    let run = |arguments: &[&str]| world.ran(emulator.over(&mut world.command(arguments)));
    let doctor = run(&["doctor", "--type", "eks"]);
    for line in ["arn:aws:iam::000000000000:root in 000000000000, eu-central-1", "quota of VPCs", "could not be asked"] {
        assert!(doctor.stdout.contains(line), "{}", doctor.stdout);
    }

    // What a run without a state has left, with the HCL's names and tags.
    let tags = |kind: &str, name: &str| {
        format!("--tag-specifications 'ResourceType={kind},Tags=[{{Key=dev.pocdeploy/instance,Value=trial}},{{Key=Name,Value={name}}}]'")
    };
    let network = emulator.makes(&format!("ec2 create-vpc --cidr-block 10.42.0.0/16 {} --query Vpc.VpcId", tags("vpc", "trial")));
    let gateway = emulator
        .makes(&format!("ec2 create-internet-gateway {} --query InternetGateway.InternetGatewayId", tags("internet-gateway", "trial")));
    emulator.makes(&format!("ec2 attach-internet-gateway --internet-gateway-id {gateway} --vpc-id {network}"));
    let subnet = |number: u8| {
        let name = format!("trial-{number}");
        emulator.makes(&format!(
            "ec2 create-subnet --vpc-id {network} --cidr-block 10.42.{number}.0/24 {} --query Subnet.SubnetId",
            tags("subnet", &name)
        ))
    };
    let subnets = [subnet(0), subnet(1)];
    let table = emulator
        .makes(&format!("ec2 create-route-table --vpc-id {network} {} --query RouteTable.RouteTableId", tags("route-table", "trial")));
    let volume = format!("ec2 create-volume --size 1 --availability-zone eu-central-1a {} --query VolumeId", tags("volume", "trial"));
    let volume = emulator.makes(&volume.replace("dev.pocdeploy/instance", "eks:eks-cluster-name"));
    emulator.makes("ecr create-repository --repository-name trial/polls --query repository.repositoryName");
    let trust = r#"'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'"#;
    let role = emulator.makes(&format!("iam create-role --role-name trial-cluster --assume-role-policy-document {trust} --query Role.Arn"));
    emulator.makes("iam attach-role-policy --role-name trial-cluster --policy-arn arn:aws:iam::aws:policy/AmazonEKSClusterPolicy");
    let times = "dev.pocdeploy/instance=trial,dev.pocdeploy/created=1,dev.pocdeploy/expires=2";
    emulator.makes(&format!(
        "eks create-cluster --name trial --role-arn {role} --resources-vpc-config subnetIds={},{} --tags {times} --query cluster.name",
        subnets[0], subnets[1]
    ));

    let listed = run(&["ls"]);
    assert!(listed.stdout.contains("trial") && listed.stdout.contains("expired"), "{}{}", listed.stdout, listed.stderr);
    let said = run(&["delete", "--yes"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    for id in [
        &network,
        &gateway,
        &subnets[0],
        &subnets[1],
        &table,
        &volume,
        "EKS cluster trial",
        "ECR repository trial/polls",
        "IAM role trial-cluster",
    ] {
        assert!(said.stderr.contains(id), "no {id} in {}", said.stderr);
    }
    let commands: Vec<String> = said
        .stderr
        .lines()
        .filter_map(|it| Some(it.trim().strip_prefix("left: ")?.split_once("(delete it with: ")?.1.trim_end_matches(')').to_owned()))
        .collect();
    assert_eq!(commands.len(), 9, "{}", said.stderr);
    for command in commands {
        let ran = emulator.shell(&command);
        assert!(ran.status.success(), "{command}: {}{}", text(&ran.stdout), text(&ran.stderr));
    }
    let said = run(&["delete", "--yes"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.says("audit: the cloud has nothing with this instance's tag or name");
}
