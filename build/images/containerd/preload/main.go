// Command preload writes the state of a containerd that holds a list of images
// already unpacked, without running containerd and without any privilege.
//
// It reads the images from a JSON file and writes containerd's root directory:
// the metadata, each image's manifest and configuration, and one empty snapshot
// per image. The layer itself is put beside that state by the caller, in the
// directory that is printed for each image.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// The names under which containerd keeps its parts; they are directory names
// below its root and keys in its metadata.
const (
	contentDir      = "io.containerd.content.v1.content"
	metadataDir     = "io.containerd.metadata.v1.bolt"
	snapshotsDir    = "io.containerd.snapshotter.v1.overlayfs"
	snapshotterName = "overlayfs"
	kubeNamespace   = "k8s.io"
)

// image is one image of one layer.
type image struct {
	// Names are complete references, registry and tag included.
	Names []string `json:"names"`
	// Layer is the digest of the uncompressed layer, Size its length.
	Layer digest.Digest `json:"layer"`
	Size  int64         `json:"size"`
	// Architecture is spelled as Go spells it.
	Architecture string              `json:"architecture"`
	Config       ocispec.ImageConfig `json:"config"`
}

// placed says in which of the snapshotter's directories an image's layer belongs.
type placed struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: preload IMAGES.json CONTAINERD-ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "preload:", err)
		os.Exit(1)
	}
}

func run(list, root string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var wanted []image
	if err := json.Unmarshal(text, &wanted); err != nil {
		return fmt.Errorf("read %s: %w", list, err)
	}
	blobs, err := local.NewStore(filepath.Join(root, contentDir))
	if err != nil {
		return err
	}
	overlays, err := overlay.NewSnapshotter(filepath.Join(root, snapshotsDir))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, metadataDir), 0o711); err != nil {
		return err
	}
	file, err := bolt.Open(filepath.Join(root, metadataDir, "meta.db"), 0o644, nil)
	if err != nil {
		return err
	}
	db := metadata.NewDB(file, blobs, map[string]snapshots.Snapshotter{snapshotterName: overlays})
	ctx := namespaces.WithNamespace(context.Background(), kubeNamespace)
	if err := db.Init(ctx); err != nil {
		return err
	}
	var places []placed
	for _, wanted := range wanted {
		place, err := add(ctx, db, wanted)
		if err != nil {
			return fmt.Errorf("add image %v: %w", wanted.Names, err)
		}
		places = append(places, place)
	}
	if err := overlays.Close(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(places)
}

// add writes an image's blobs, its snapshot and its names. The labels tell
// containerd's garbage collector what keeps what; the layer has no blob.
func add(ctx context.Context, db *metadata.DB, wanted image) (placed, error) {
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: wanted.Architecture, OS: "linux"},
		Config:   wanted.Config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{wanted.Layer}},
	})
	if err != nil {
		return placed{}, err
	}
	configBlob := describe(ocispec.MediaTypeImageConfig, config)
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    configBlob,
		Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: wanted.Layer, Size: wanted.Size}},
	})
	if err != nil {
		return placed{}, err
	}
	manifestBlob := describe(ocispec.MediaTypeImageManifest, manifest)
	// The chain ID of a single layer is the layer's own digest.
	chain := wanted.Layer.String()
	if err := write(ctx, db, configBlob, config, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotterName: chain}); err != nil {
		return placed{}, err
	}
	if err := write(ctx, db, manifestBlob, manifest, map[string]string{"containerd.io/gc.ref.content.config": configBlob.Digest.String()}); err != nil {
		return placed{}, err
	}
	id, err := snapshot(ctx, db.Snapshotter(snapshotterName), chain)
	if err != nil {
		return placed{}, err
	}
	store := metadata.NewImageStore(db)
	for _, name := range append([]string{configBlob.Digest.String()}, wanted.Names...) {
		_, err := store.Create(ctx, images.Image{
			Name:   name,
			Target: manifestBlob,
			Labels: map[string]string{"io.cri-containerd.image": "managed", "io.cri-containerd.pinned": "pinned"},
		})
		if err != nil {
			return placed{}, err
		}
	}
	return placed{Name: wanted.Names[0], ID: id}, nil
}

func describe(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func write(ctx context.Context, db *metadata.DB, blob ocispec.Descriptor, data []byte, labels map[string]string) error {
	return content.WriteBlob(ctx, db.ContentStore(), blob.Digest.String(), bytes.NewReader(data), blob, content.WithLabels(labels))
}

// snapshot commits an empty snapshot and returns the name of its directory,
// which the snapshotter chooses.
func snapshot(ctx context.Context, snapshotter snapshots.Snapshotter, chain string) (string, error) {
	mounts, err := snapshotter.Prepare(ctx, "preload-"+chain, "")
	if err != nil {
		return "", err
	}
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return "", fmt.Errorf("a snapshot without parents is not a plain directory: %v", mounts)
	}
	if err := snapshotter.Commit(ctx, chain, "preload-"+chain); err != nil {
		return "", err
	}
	return filepath.Base(filepath.Dir(mounts[0].Source)), nil
}
