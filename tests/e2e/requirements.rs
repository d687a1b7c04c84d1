//! Requirements with the real uv and pip, and without an index: the effect of the image's Python and of pip's settings.

use std::{fs, process::Command};

use crate::bench::Bench;

/// Makes a pure Python wheel, an archive of three files.
const WHEEL: &str = "\
import sys, zipfile
folder, name, version = sys.argv[1:]
info = f'{name}-{version}.dist-info/'
with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as out:
    out.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
    out.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    out.writestr(info + 'RECORD', '')
";

/// The application's requirements, for Python and platform of the image, whatever this machine's are.
const ASKED: &str = "\
alpha ; python_version >= '3.13'
beta ; python_version < '3.13'
linux-only ; sys_platform == 'linux' and platform_machine == 'MACHINE'
windows-only ; sys_platform == 'win32'
gamma
";

pub(crate) fn follow_the_image_and_pips_settings(bench: &Bench) {
    let folder = bench.path("company");
    fs::create_dir_all(&folder).unwrap();
    for (name, version) in
        [("alpha", "1.0"), ("beta", "1.0"), ("linux_only", "1.0"), ("windows_only", "1.0"), ("gamma", "1.0"), ("gamma", "2.0")]
    {
        let mut python = Command::new("python3");
        python.args(["-I", "-c", WHEEL, folder.to_str().unwrap(), name, version]);
        bench.ran(&mut python).ends_with(0);
    }
    fs::write(bench.path("third_party/django-polls/requirements.txt"), ASKED.replace("MACHINE", std::env::consts::ARCH)).unwrap();
    fs::write(bench.path("limits.txt"), "gamma<2\n").unwrap();
    let kept = bench.path("build/requirements.txt");
    let before = fs::read_to_string(&kept).unwrap();
    let run = || {
        let mut command = bench.command(&["requirements", "--yes"]);
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &folder).env("PIP_CONSTRAINT", "limits.txt").env("PIP_NO_BINARY", "gamma");
        bench.ran(&mut command)
    };
    // pip's own wheel is not in the folder: pinning succeeds, and downloading the wheels fails.
    run().ends_with(1).says("pip==");
    assert_eq!(fs::read_to_string(&kept).unwrap(), before, "pins were written without their wheels");

    let pip = fs::read_dir(bench.env().cache("wheels"))
        .unwrap()
        .flatten()
        .filter_map(|it| fs::read_dir(it.path()).ok())
        .flat_map(Iterator::flatten)
        .find(|it| it.file_name().to_string_lossy().starts_with(&pocdeploy::requirements::PIP.replace("==", "-")))
        .expect("no run on this machine has had pip's wheel yet");
    fs::copy(pip.path(), folder.join(pip.file_name())).unwrap();
    run().ends_with(0).says("pip's setting no-binary is ignored");
    let pins = fs::read_to_string(&kept).unwrap();
    let names: Vec<&str> = pins.lines().filter_map(|it| it.strip_suffix(" \\")).filter(|it| !it.starts_with(' ')).collect();
    assert_eq!(names, ["alpha==1.0", "gamma==1.0", "linux-only==1.0"], "{pins}");
}
