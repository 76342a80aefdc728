"""A Cuebot that does nothing by itself: it takes a job's specification, starts and kills frames when it is told to,
and says what rqd reports. Run by a Python that has opencue-rqd and opencue-pyoutline; it speaks JSON lines.

    python cuebot_stub.py PORT OF_RQD
    stdin:  {"launch": {"frame_id": ..., "frame_name": ..., "command": ..., "log_dir": ...}}   {"kill": FRAME_ID}
    stdout: {"ready": true}  {"spec": XML}  {"host": NAME}  {"report": {...}}  {"refused": TEXT}
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent import futures
from typing import Any

import grpc
from opencue_proto import cue_pb2, cue_pb2_grpc, job_pb2, job_pb2_grpc, report_pb2, report_pb2_grpc, rqd_pb2
from opencue_proto import rqd_pb2_grpc as rqd_grpc

_LOCK = threading.Lock()


def say(**fields: Any) -> None:
    with _LOCK:
        print(json.dumps(fields), flush=True)


class Cue(cue_pb2_grpc.CueInterfaceServicer):  # type: ignore[misc]
    """A client asks whether anybody is there."""

    def GetSystemStats(self, request: Any, context: Any) -> Any:  # noqa: N802 - its protocol's name
        return cue_pb2.CueGetSystemStatsResponse()


class Jobs(job_pb2_grpc.JobInterfaceServicer):  # type: ignore[misc]
    """A client submits."""

    def LaunchSpecAndWait(self, request: Any, context: Any) -> Any:  # noqa: N802
        say(spec=request.spec)
        job = job_pb2.Job(id="job-1", name="taken")
        return job_pb2.JobLaunchSpecAndWaitResponse(jobs=job_pb2.JobSeq(jobs=[job]))


class Reports(report_pb2_grpc.RqdReportInterfaceServicer):  # type: ignore[misc]
    """rqd reports."""

    def ReportRqdStartup(self, request: Any, context: Any) -> Any:  # noqa: N802
        say(host=request.boot_report.host.name)
        return report_pb2.RqdReportRqdStartupResponse()

    def ReportStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return report_pb2.RqdReportStatusResponse()

    def ReportRunningFrameCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = request.frame_complete_report
        say(
            report={
                "frame_id": found.frame.frame_id,
                "exit_status": found.exit_status,
                "exit_signal": found.exit_signal,
                "run_time": found.run_time,
            }
        )
        return report_pb2.RqdReportRunningFrameCompletionResponse()


def main(port: str, of_rqd: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    cue_pb2_grpc.add_CueInterfaceServicer_to_server(Cue(), server)
    job_pb2_grpc.add_JobInterfaceServicer_to_server(Jobs(), server)
    report_pb2_grpc.add_RqdReportInterfaceServicer_to_server(Reports(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    rqd = rqd_grpc.RqdInterfaceStub(grpc.insecure_channel(f"127.0.0.1:{of_rqd}"))
    say(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "launch" in asked:
                frame = rqd_pb2.RunFrame(
                    job_id="job-1", job_name="job", layer_id="layer", resource_id="here", user_name="artist",
                    show="show", shot="shot", num_cores=100, **asked["launch"],
                )  # fmt: skip
                rqd.LaunchFrame(rqd_pb2.RqdStaticLaunchFrameRequest(run_frame=frame), timeout=30)
            else:
                found = rqd_pb2.RqdStaticKillRunningFrameRequest(frame_id=asked["kill"], message="an artist")
                rqd.KillRunningFrame(found, timeout=30)
        except grpc.RpcError as error:
            say(refused=str(error))
    server.stop(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
