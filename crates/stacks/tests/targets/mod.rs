//! Programs to look at: compiled from the sources beside this file, and running ones.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// A compiled program; its file goes with this value.
pub(crate) struct Program {
    file: PathBuf,
    _folder: TempDir,
}

impl Program {
    /// Compiles a source of this folder with these options. `None`, and a line that says so, where
    /// there is no compiler.
    pub(crate) fn compile(source: &str, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("target");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(source);
        let compiler = if source.extension().is_some_and(|e| e == "rs") { "rustc" } else { "c++" };
        let output =
            Command::new(compiler).args(options).arg("-o").arg(&file).arg(&source).output();
        match output {
            Ok(output) if output.status.success() => Some(Self { file, _folder: folder }),
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                println!("SKIPPED {}: no {compiler}: {error}", source.display());
                None
            }
        }
    }

    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Target {
        let mut child = Command::new(&self.file)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut target = Target { child, input, output };
        assert_eq!(target.line(), "ready");
        target
    }
}

/// A running program; killed at the end.
pub(crate) struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Target {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends an empty line and returns the answer.
    pub(crate) fn ask(&mut self) -> String {
        self.input.write_all(b"\n").expect("it listens");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
