# The image of kuberay.yaml, for nodes with and without GPUs: the project with the versions of requirements.lock.
# docs/cluster.md says how to build it.
FROM python:3.11-slim-bookworm

# wget: KubeRay's probes. g++: what torch.compile calls.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ wget \
    && rm -rf /var/lib/apt/lists/*

# The user and group of Ray's own images, so that volumes made for these fit.
RUN useradd --uid 1000 --gid users --create-home --shell /bin/bash ray

# torch brings the libraries of CUDA, the node its driver.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1

# Into /usr/local, as KubeRay starts `ray` in a login shell, which resets PATH. Before the code, which changes more often.
COPY requirements.lock /tmp/requirements.lock
RUN python -m pip install --no-cache-dir --requirement /tmp/requirements.lock && rm /tmp/requirements.lock

# Not below the home folder: ~/quintet is where runs lie by default.
WORKDIR /opt/quintet
COPY pyproject.toml README.md ./
COPY data_pipelines data_pipelines
COPY trainables trainables
COPY ray_jobs ray_jobs
RUN python -m pip install --no-cache-dir --no-deps --editable . && python -m compileall -q .

USER ray
CMD ["bash"]
